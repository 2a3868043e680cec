"""Folders of a user's own recordings, made for tests."""

import json

import numpy as np
import soundfile

CLASSES = ("cat", "dog", "owl")
NUM_CLIPS = 4


def clip(path, *, seconds=0.05, rate=8_000, channels=1, **more):
    """Write a short recording, which differs from those of other names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.stem.encode()) or [0])
    wave = rng.uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, wave, rate, **more)
    return path


def names(classes=CLASSES, count=NUM_CLIPS):
    """CLASS/NAME.wav of every clip."""
    return [f"{name}/{name[0]}{i}.wav" for name in classes for i in range(count)]


def class_folders(root, classes=CLASSES, count=NUM_CLIPS):
    """Class folders with a few clips each."""
    for name in names(classes, count):
        clip(root / name)
    return root


def table(root, rows=None, name="metadata.csv", header="file_name,label", sep="\n"):
    """Clips and a table of them; rows by default are those of the class folders."""
    class_folders(root)
    if rows is None:
        rows = [f"{name},{name.split('/')[0]}" for name in names()]
    text = sep.join([header, *rows]) + sep
    (root / name).write_bytes(text.encode())
    return root


def json_lines(root, change=lambda row: row):
    """Clips and metadata.jsonl, with each row changed by a function."""
    class_folders(root)
    rows = ({"file_name": name, "label": name.split("/")[0]} for name in names())
    text = "\n".join(json.dumps(change(row)) for row in rows)
    (root / "metadata.jsonl").write_text(text)
    return root


def kaldi(root, **lists):
    """Clips and Kaldi's lists; a keyword replaces one of them by its name."""
    class_folders(root)
    ids = [name.removesuffix(".wav") for name in names()]
    texts = {
        "wav_scp": [f"{id} {id}.wav" for id in ids],
        "utt2spk": [f"{id} {id.split('/')[0]}" for id in ids],
    } | lists
    for name, lines in texts.items():
        path = root / name.replace("_", ".")
        path.write_text("".join(f"{line}\n" for line in lines))
    return root


ROWS = [f"{name},{name.split('/')[0]}" for name in names()]
SEGMENTS = [f"{n[:-4]} {n[:-4]} 0 0.05" for n in names()]


def with_file(name, data=b""):
    def make(root):
        path = class_folders(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return make


def replaced(name, data):
    """One clip of twelve replaced by other bytes."""
    return with_file(name, data)


def row(text):
    return lambda root: table(root, [*ROWS, text])


def only_splits(*parts):
    def make(root):
        for part in parts:
            class_folders(root / part)

    return make
