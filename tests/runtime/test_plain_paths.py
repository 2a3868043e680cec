import os
import pathlib
import tempfile

import pytest

from advjax.runtime.plain_paths import plain_path


@pytest.mark.parametrize("name", ["x[1]", "b\\s", "gs:", "a\nb", "\udcff", "st*r", "é"])
def test_an_odd_folder_gets_a_plain_link(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    with plain_path(folder) as plain:
        assert plain.name == "folder"
        assert str(plain).isascii()
        (plain / "inside").write_text("here")
        assert (folder / "inside").read_text() == "here"
    assert not plain.parent.exists()
    assert (folder / "inside").exists()


def test_a_plain_folder_is_itself(tmp_path, monkeypatch):
    folder = tmp_path / "voices-gaussian(sigma=0.25)@mfbe, rescnn-w8"
    with plain_path(folder) as plain:
        assert plain == folder
    monkeypatch.chdir(tmp_path)
    with plain_path("relative") as plain:
        assert plain == tmp_path / "relative"


def test_without_a_place_for_links_it_says_what_to_do(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    refused = pytest.raises(OSError, match="letters and digits, or set TMPDIR")
    with refused, plain_path(tmp_path / "x[1]"):
        pytest.fail("there is none")
    odd = tmp_path / "x[1]"
    odd.mkdir()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(odd))
    with plain_path(odd) as plain:
        assert "[" not in str(plain)
        assert plain.resolve() == pathlib.Path(odd).resolve()
