"""Folders of every layout that are read, and the five lines on them."""

import os
import re

import pytest

from data_prep.corpora.base import SPLITS
from data_prep.corpora.folder import folder
from tests.data_prep.corpora import own_folders
from tests.data_prep.corpora.own_folders import (
    ROWS,
    SEGMENTS,
    class_folders,
    clip,
    kaldi,
    only_splits,
    replaced,
    row,
    table,
    with_file,
)


def one_speaker(root):
    rows = [f"{r},{'ann' if i % 2 else 'bob'}" for i, r in enumerate(ROWS[:-4])]
    table(
        root,
        [*rows, *(f"{r},eve" for r in ROWS[-4:])],
        header="file_name,label,speaker",
    )


def renamed(*pairs):
    def make(root):
        class_folders(root)
        for old, new in pairs:
            (root / old).rename(root / new)

    return make


# A part of the five lines on it, and the number of clips.
READ = {
    "hidden files": (with_file("cat/._c0.wav"), "Left out: nothing", 12),
    "a hidden class": (with_file(".git/1.wav"), "3 classes .cat, dog, owl.", 12),
    "an archive's leftovers": (with_file("__MACOSX/cat/1.wav"), "3 classes", 12),
    "an empty class": (
        lambda root: (class_folders(root) / "emu").mkdir(),
        "3 classes .*Left out: 1 folder .emu. without clips",
        12,
    ),
    "clips beside the classes": (
        with_file("x.wav"),
        "1 file .x.wav. outside class f",
        12,
    ),
    "other formats": (with_file("cat/1.M4A"), "1 file .1.M4A. of a format that", 12),
    "text files": (with_file("cat/notes.txt"), "Left out: nothing", 12),
    "suffixes in capitals": (renamed(("cat/c0.wav", "cat/c0.WAV")), "4 clips each", 12),
    "one recording in two formats": (
        lambda root: clip(class_folders(root) / "cat/c0.flac"),
        "1 file .c0.wav. of a recording that is there in another format",
        12,
    ),
    "an empty file": (
        replaced("cat/c0.wav", b""),
        "1 clip .cat/c0. cannot be read: an e",
        12,
    ),
    "a file of zeros": (
        replaced("cat/c0.wav", bytes(99)),
        "1 clip .cat/c0. cannot be r",
        12,
    ),
    "a pointer of Git LFS": (
        replaced("cat/c0.wav", b"version https://git-lfs.github.com/spec/v1\n"),
        "a pointer of Git LFS in place of the file: run git lfs pull",
        12,
    ),
    "a file cut in half": (
        lambda root: (
            clip(class_folders(root) / "cat/c0.wav")
            and os.truncate(root / "cat/c0.wav", 500)
        ),
        "cat/c0. cannot be read: shortened: 456 of 800 bytes",
        12,
    ),
    "mixed rates and channels": (
        lambda root: clip(class_folders(root) / "cat/c9.flac", rate=44_100, channels=2),
        "12 of 8000 Hz, 1 of 44100 Hz; 1 with several channels, which are averaged",
        13,
    ),
    "control characters": (
        with_file("cat/\x1b[31m.wav"),
        r"cat/\\x1b\[31m. cannot",
        13,
    ),
    "names that are not Unicode": (
        with_file("cat/\udcff.wav"),
        r"cat/\\udcff. cannot",
        13,
    ),
    "a folder called like a split": (
        renamed(("cat", "train")),
        "3 classes .dog, owl, train., 4 clips each",
        12,
    ),
    "folders of splits in capitals": (
        only_splits("Train", "Validation", "TEST"),
        "12 train, 12 validation, 12 test",
        36,
    ),
    "no validation": (
        only_splits("train", "test"),
        "as given, but validation made of training clips",
        24,
    ),
    "tests alone": (only_splits("test"), "0 train, 0 validation, 12 test clips", 12),
    "a speaker below a class": (
        lambda root: [class_folders(root / c, ("ann", "bob", "eve")) for c in "xy"],
        "split by folder below the class, seed 0",
        24,
    ),
    "one speaker of a class": (
        one_speaker,
        "split by file, .*1 label .owl. of a single speaker",
        12,
    ),
    "a byte order mark": (
        lambda root: table(root, header="\ufefffile_name,label"),
        "3 classes",
        12,
    ),
    "line ends of Windows": (lambda root: table(root, sep="\r\n"), "3 classes", 12),
    "semicolons": (
        lambda root: table(
            root, [r.replace(",", ";") for r in ROWS], header="file_name;label"
        ),
        "3 classes",
        12,
    ),
    "tabs": (
        lambda root: table(
            root,
            [r.replace(",", "\t") for r in ROWS],
            "metadata.tsv",
            "file_name\tlabel",
        ),
        "metadata.tsv in .*3 classes",
        12,
    ),
    "numbers as labels": (
        lambda root: own_folders.json_lines(
            root, lambda r: r | {"label": 9 + len(r["label"] * (r["label"] > "d"))}
        ),
        "2 classes .12, 9.",
        12,
    ),
    "other columns": (
        lambda root: table(
            root, [f"1,{r},x" for r in ROWS], header=",file_name,label,y"
        ),
        "3 classes",
        12,
    ),
    "a file that the table lacks": (
        lambda root: table(root, ROWS[:-1]),
        "1 file .o3.wav. not in .*metadata.csv",
        11,
    ),
    "a row without a file": (row("cat/c9.wav,cat"), "absent: 1 file .c9.wav. that", 13),
    "letters of a name in another case": (row("dog/D9.WAV,dog"), "12 of 8000 Hz", 13),
    "an end of Kaldi": (
        lambda root: kaldi(root, segments=[s.replace("0.05", "-1") for s in SEGMENTS]),
        "Kaldi's lists in .*Left out: nothing",
        12,
    ),
    "a segment past the end": (
        lambda root: kaldi(
            root, segments=[SEGMENTS[0].replace("0.05", "9"), *SEGMENTS[1:]]
        ),
        "cat/c0. cannot be read: a segment ends at 9 s, and the recording at 0.05 s",
        12,
    ),
    "speakers as labels": (kaldi, "the labels are the speakers", 12),
}


@pytest.mark.parametrize("name", READ)
def test_a_folder_is_read_right_and_in_five_lines(tmp_path, name):
    make, said, count = READ[name]
    make(tmp_path / "set")
    corpus = folder(tmp_path / "set")
    assert len(corpus.found) == 5
    assert all(line.isprintable() for line in corpus.found)
    assert re.search(said, " ".join(corpus.found)), corpus.found
    assert sum(len(corpus.utterances(split)) for split in SPLITS) == count
