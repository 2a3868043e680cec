import pathlib

import pytest

from advjax.runtime.paths import user_path


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"
    assert user_path(pathlib.Path("~")) == tmp_path


def test_a_relative_path_is_from_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert user_path("runs/../a b,c[1]") == tmp_path / "a b,c[1]"


def test_symbolic_links_stay(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert user_path(tmp_path / "link") == tmp_path / "link"


@pytest.mark.parametrize("text", ["", "~nobody-of-that-name/x"])
def test_what_names_no_folder_is_refused(text):
    with pytest.raises(ValueError):
        user_path(text)
