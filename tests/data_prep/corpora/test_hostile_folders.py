"""Folders that people have: each is read right, or ends in a message that names it."""

import errno
import os
import re

import pytest

from data_prep.build import pick_corpus
from data_prep.corpora.folder import folder
from tests.data_prep.corpora import own_folders
from tests.data_prep.corpora.own_folders import (
    ROWS,
    class_folders,
    clip,
    kaldi,
    names,
    only_splits,
    row,
    table,
    with_file,
)


def linked(root):
    class_folders(root)
    (root / "owl" / "copy.wav").symlink_to(root / "cat" / "c0.wav")


def nothing_readable(root):
    class_folders(root)
    for name in names():
        (root / name).write_bytes(b"x" * 99)


# The message that ends it.
REFUSED = {
    "no folder": (lambda root: None, "no folder .*is not there.*CLASS/NAME.wav"),
    "an empty folder": (lambda root: root.mkdir(), "holds no clips.*holds nothing"),
    "no audio": (
        lambda root: (root / "a").mkdir(parents=True) or (root / "a/x.txt").touch(),
        "holds no clips: give a folder with CLASS/NAME.wav",
    ),
    "clips without class folders": (
        lambda root: [clip(root / f"{i}.wav") for i in range(4)],
        r"4 clips \(0.wav, 1.wav, 2.wav, ...\) in no class folder: put the clips",
    ),
    "another format alone": (
        lambda root: [
            (root / c).mkdir(parents=True) or (root / c / "1.m4a").touch() for c in "ab"
        ],
        "2 files .1.m4a, 1.m4a. of formats .*convert them to WAV or FLAC",
    ),
    "one class": (
        lambda root: class_folders(root, ("cat",)),
        "a single class .cat.*give the folder that holds the folders of all classes",
    ),
    "one clip of a class": (
        with_file("emu/lone.wav", b"x"),
        "1 label .emu. cannot be split: one file trains and another one tests; add",
    ),
    "a class is empty, and one is left": (
        lambda root: class_folders(root, ("cat",)) and (root / "dog").mkdir(),
        "a single class .cat.",
    ),
    "names of classes in two letter cases": (
        lambda root: class_folders(root, ("cat", "Cat", "dog")),
        "the classes 'Cat' and 'cat' .*differ in letter case only",
    ),
    "one file in two classes": (linked, "copy.wav is listed as 'cat' and as 'owl'"),
    "no readable file": (
        nothing_readable,
        "none of 12 files can be read; the first is .*cat/c0.wav: cannot be decoded",
    ),
    "classes beside folders of splits": (
        lambda root: (
            only_splits("train", "test")(root) or class_folders(root, ("emu",))
        ),
        "folders of splits .test, train. with class folders .*1 other folder .emu.",
    ),
    "a class without training clips": (
        lambda root: (
            class_folders(root / "train")
            and class_folders(root / "test", ("cat", "emu"))
        ),
        "1 label .emu. in .* cannot be learnt, without tr",
    ),
    "a column is missing": (
        lambda root: table(root, header="file_name,class"),
        r"no column label; it has file_name, class: .*folder\(label='NAME",
    ),
    "no column of files": (
        lambda root: table(root, header="path,label"),
        "no column file_name",
    ),
    "no header": (
        lambda root: table(root, ROWS[1:], header=ROWS[0]),
        "no column file_name, label",
    ),
    "a column twice": (
        lambda root: table(root, header="file_name,label,label"),
        "two columns label",
    ),
    "a table of no clips": (
        lambda root: table(root, []),
        "metadata.csv lists no clips",
    ),
    "an empty table": (
        lambda root: table(root) and (root / "metadata.csv").write_text(""),
        "it has none",
    ),
    "UTF-16": (
        lambda root: (table(root) / "metadata.csv").write_bytes(
            "file_name,label\n".encode("utf-16")
        ),
        "metadata.csv, line 1: the table is in UTF-16",
    ),
    "Latin-1": (
        lambda root: (
            table(root)
            and (root / "metadata.csv").write_bytes(b"file_name,label\na\xe9.wav,x\n")
        ),
        "metadata.csv, line 2: not UTF-8 .the byte 0xe9",
    ),
    "an absolute path": (row("/etc/passwd,cat"), "line 14: .*'/etc/passwd' leads out"),
    "a path of a home": (row("~/a.wav,cat"), "'~/a.wav' leads out of the folder"),
    "a drive": (row("C:/a.wav,cat"), "line 14: .*'C:/a.wav' leads out"),
    "dots that lead out": (row("cat/../../a.wav,cat"), "line 14: .*without .. in them"),
    "backslashes": (row("cat\\\\c1.wav,cat"), "line 14: .*has a backslash: write /"),
    "a comma without quotes": (
        row("cat,1.wav,cat"),
        "line 14: .*more than 2 values; put q",
    ),
    "a row without a label": (row("cat/c9.wav,"), "line 14: .*a value is missing"),
    "a clip twice": (row(ROWS[0]), "cat/c0.wav is listed twice"),
    "a clip of two labels": (row("cat/c0.wav,dog"), "is listed as 'cat' and as 'dog'"),
    "no file of the table": (
        lambda root: table(root, [f"audio/{r}" for r in ROWS]),
        "none of 12 files can be read; the first is .*no such file",
    ),
    "two tables": (
        lambda root: table(root) and own_folders.json_lines(root),
        "has metadata.csv and metadata.jsonl: keep one",
    ),
    "an unknown split": (
        lambda root: table(
            root, [f"{r},fold1" for r in ROWS], header="file_name,label,split"
        ),
        "line 2: .*'fold1' is no split; write train",
    ),
    "a split of some clips": (
        lambda root: table(
            root,
            [f"{r},{'train' * (i > 0)}" for i, r in enumerate(ROWS)],
            header="file_name,label,split",
        ),
        "cat/c0 has no split, and other clips have one",
    ),
    "a time with a comma": (
        lambda root: table(
            root, [f'{r},"0,5"' for r in ROWS], header="file_name,label,start"
        ),
        "line 2: .*'0,5' is no time in seconds",
    ),
    "a time that is infinite": (
        lambda root: table(
            root, [f"{r},inf" for r in ROWS], header="file_name,label,end"
        ),
        "'inf' is no time in seconds",
    ),
    "several labels": (
        lambda root: own_folders.json_lines(root, lambda row: row | {"label": ["a"]}),
        r"line 1: .*'\[\"a\"\]' is no name of one class",
    ),
    "a line that is no JSON": (
        lambda root: (
            own_folders.json_lines(root)
            and (root / "metadata.jsonl").write_text("{a\n")
        ),
        "metadata.jsonl, line 1: not a line of JSON",
    ),
    "a line that is no object": (
        lambda root: own_folders.json_lines(root, lambda row: [row]),
        "line 1: .*not an object",
    ),
    "a table of one split alone": (
        lambda root: (
            only_splits("train", "test")(root)
            or (root / "train/metadata.csv").write_text("file_name,label\n")
        ),
        "test has clips but no metadata.csv, unlike train",
    ),
    "commands of Kaldi": (
        lambda root: kaldi(root, wav_scp=["a sox b.wav -t wav - |"]),
        "wav.scp, line 1: .*commands are not run",
    ),
    "archives of Kaldi": (
        lambda root: kaldi(root, wav_scp=["a b.ark:12"]),
        "line 1: .*archives are not read",
    ),
    "a relative path out": (
        lambda root: kaldi(root, wav_scp=["a ../b.wav"]),
        "line 1: .*leads out of the folder",
    ),
    "a key without a value": (
        lambda root: kaldi(root, wav_scp=["a"]),
        "a key without a value",
    ),
    "a key twice": (
        lambda root: kaldi(root, wav_scp=["a a.wav", "a b.wav"]),
        "line 2: .*is there twice",
    ),
    "no utt2spk": (
        lambda root: (kaldi(root) / "utt2spk").unlink(),
        "no .*utt2spk, which gives the class",
    ),
    "an utterance without a label": (
        lambda root: kaldi(root, utt2spk=["cat/c0 ann"]),
        "utt2spk has no line of cat/c1",
    ),
    "a segment of no recording": (
        lambda root: kaldi(root, segments=["cat/c0 gone 0 1"]),
        "gone, which is not in wav.scp",
    ),
    "a segment of three columns": (
        lambda root: kaldi(root, segments=["cat/c0 cat/c0 0"]),
        "segments, line 1: .*four columns",
    ),
    "one recording of a speaker": (
        lambda root: kaldi(
            root,
            wav_scp=[f"{c} {c}/{c[0]}0.wav" for c in own_folders.CLASSES],
            segments=[
                f"{c}{i} {c} {i / 100} {i / 100 + 0.01}"
                for c in own_folders.CLASSES
                for i in range(4)
            ],
            utt2spk=[f"{c}{i} {c}" for c in own_folders.CLASSES for i in range(4)],
        ),
        r"3 labels .cat, dog, owl. cannot be split: .*folder\(group='clip'\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_is_refused_in_one_line(tmp_path, name):
    make, message = REFUSED[name]
    make(tmp_path / "set")
    with pytest.raises((ValueError, OSError)) as refused:
        pick_corpus("folder", str(tmp_path / "set"))
    assert re.search(message, str(refused.value)), refused.value
    assert "\n" not in str(refused.value)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    class_folders(tmp_path)
    scan = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("dog"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="dog cannot be read .Permission denied"):
        folder(tmp_path)


def test_no_folder_is_given():
    with pytest.raises(ValueError, match="give --corpus_dir=FOLDER, with CLASS/NAME"):
        pick_corpus("folder")
