import os
import re
import shutil

import pytest

from experiments.lab.folder_names import digest, folder_from, name_of, place, text_of

TITLES = [
    "voices-0c5-noisy(noise='gain', sigma=0.25)@mfbe-rescnn-w8",
    "my recordings [2], take 3-waveform-pgd-30dB",
    "séance\n*?{1..3}$HOME;`ls`#%~-sigma0.25",
    "-rf",
    "..",
    "",
    "x" * 500,
]


@pytest.mark.parametrize("title", TITLES)
def test_a_name_has_nothing_that_a_shell_or_a_list_of_flags_reads(title):
    name = name_of(title, {"seed": 0})
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@=-]*-[0-9a-f]{8}", name)
    assert len(name) < 150
    assert name != name_of(title, {"seed": 1})


def test_a_name_is_still_read_by_a_person():
    found = name_of(TITLES[0], {})
    assert found.startswith("voices-0c5-noisy_noise=_gain_sigma=0.25@mfbe-rescnn-w8-")
    plain = "librispeech-cb7f9975-plain@mfbe-rescnn-w8"
    assert name_of(plain, {}).rpartition("-")[0] == plain


@pytest.mark.parametrize("ending", ["", ".training"])
def test_what_an_earlier_version_made_is_found_again(tmp_path, ending):
    title, settings = TITLES[0], {"sigma": 0.25}
    new = place(tmp_path, title, settings)
    assert new.name == name_of(title, settings)
    old = tmp_path / f"{title}-{digest(settings, 8)}"
    (tmp_path / f"{old.name}{ending}").mkdir()
    assert place(tmp_path, title, settings) == old
    assert place(tmp_path, title, settings | {"seed": 1}).parent == tmp_path
    new.mkdir()
    assert place(tmp_path, title, settings) == new


def test_a_home_that_moved_is_found_from_any_folder(tmp_path, monkeypatch):
    home = tmp_path / "work" / "runs"
    run, target = home / "attack" / "one", home / "classifiers" / "net"
    for folder in (run, target, tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    text = text_of(target, run=run, home=home)
    assert text == "../../classifiers/net"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert folder_from(text, run=run, what="classifier") == target
    relative = os.path.relpath(run)
    assert folder_from(text, run=relative, what="classifier") == target
    moved = tmp_path / "moved"
    shutil.move(home, moved)
    link = tmp_path / "link"
    link.symlink_to(moved / "attack" / "one")
    for run in (moved / "attack" / "one", link):
        found = folder_from(text, run=run, what="classifier")
        assert found.samefile(moved / "classifiers" / "net")


@pytest.mark.parametrize("text", ["runs/classifiers/net", "/gone/runs/classifiers/net"])
def test_the_folders_of_earlier_versions_are_looked_for(tmp_path, monkeypatch, text):
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    run, target = work / "runs/attack/one", work / "runs/classifiers/net"
    for folder in (run, target, elsewhere):
        folder.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert folder_from(text, run=run, what="classifier") == target
    shutil.move(work / "runs", elsewhere / "renamed")
    run = elsewhere / "renamed/attack/one"
    found = folder_from(text, run=run, what="classifier")
    assert found == elsewhere / "renamed/classifiers/net"
    shutil.rmtree(found)
    with pytest.raises(FileNotFoundError, match="the classifier of the run .* move it"):
        folder_from(text, run=run, what="classifier")


def test_folders_outside_the_home_are_written_whole(tmp_path):
    home, mine = tmp_path / "runs", tmp_path / "mine"
    assert text_of(mine, run=home / "attack/one", home=home) == str(mine)
    assert text_of(home / "records/a", run=mine, home=home) == str(home / "records/a")
