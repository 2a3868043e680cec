import errno
import os

import pytest

from data_prep.corpora import files
from data_prep.corpora.base import corpus_folder


def test_links_are_followed_but_not_around(tmp_path):
    (tmp_path / "disk" / "a").mkdir(parents=True)
    (tmp_path / "disk" / "a" / "1.wav").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "disk")
    (root / "around").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    (root / "gone.wav").symlink_to(root / "nowhere")
    (tmp_path / "disk" / "a" / "back").symlink_to(root)
    found = dict(files.files_below(root))
    assert found == {
        str(root): ["gone.wav", "itself"],
        str(root / "link"): [],
        str(root / "link" / "a"): ["1.wav"],
    }


def test_a_folder_that_cannot_be_read_says_so(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    scan = os.scandir

    def refuse(folder):
        if os.fspath(folder).endswith("b"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="b cannot be read .Permission denied"):
        list(files.files_below(tmp_path))
    with pytest.raises(PermissionError, match="b cannot be read .Permission denied"):
        corpus_folder(tmp_path / "a" / "b", corpus="X", layout="L")


def test_what_a_folder_holds(tmp_path):
    assert files.contents(tmp_path).endswith("holds nothing")
    for name in "gfedcb\n":
        (tmp_path / name).touch()
    assert files.contents(tmp_path).endswith(r"holds \n, b, c, d, e and 2 more")
