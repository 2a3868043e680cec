"""The program that builds records, on made and on real recordings."""

import collections
import csv
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

from advjax import records
from advjax.representations import Magnitude, MelEnergies
from data_prep.build import main
from data_prep.corpora.base import SPLITS
from data_prep.program_flags import define_build_flags


def command(*arguments):
    values = flags.FlagValues()
    define_build_flags(values)
    main(values(["build", *arguments]), values)


@pytest.fixture
def digits(tmp_path):
    """Free Spoken Digits of two speakers, one take of which is damaged."""
    soundfile = pytest.importorskip("soundfile")
    folder = tmp_path / "digits" / "recordings"
    folder.mkdir(parents=True)
    for speaker in ("anna", "bert"):
        for take in range(12):
            path = folder / f"3_{speaker}_{take}.wav"
            generator = np.random.default_rng([len(speaker), take])
            noise = generator.uniform(-0.6, 0.6, 4000).astype(np.float32)
            soundfile.write(path, noise, 8000)
    (folder / "3_bert_7.wav").write_bytes(b"RIFF, but no more")
    return tmp_path / "digits"


def test_the_command_stops_at_a_damaged_file_and_names_it(digits, tmp_path, capsys):
    arguments = [
        "--corpus=free_spoken_digits",
        f"--corpus_dir={digits}",
        f"--out={tmp_path / 'set'}",
        "--rep=magnitude",
        "--file_format=npz",
        "--crops_train=5",
    ]
    with pytest.raises(SystemExit, match="3_bert_7.wav: ") as stopped:
        command(*arguments)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "set").exists()

    command(*arguments, "--on_error=skip")
    printed = capsys.readouterr().out
    assert "free_spoken_digits: 10 train, 2 validation, 10 test examples" in printed
    assert "1 recordings skipped:\n" in printed and "3_bert_7.wav: " in printed
    # The plan, before anything is read, and the next step.
    assert printed.startswith("Build records of free_spoken_digits: 2 classes")
    assert "  train: 5 crops a class, random, from 12 recordings\n" in printed
    assert f"  folder: {tmp_path / 'set'}\n" in printed
    made = tmp_path / "set" / "free_spoken_digits" / "magnitude" / "1.0.0"
    assert f"data_prep.verify --records={made}\n" in printed
    info = records.info(tmp_path / "set", expect=Magnitude())
    assert [path.split("/")[-1] for path, _ in info.metadata["skipped"]] == [
        "3_bert_7.wav"
    ]
    assert info.metadata["corpus_options"] == {
        "corpus_dir": str(digits),
        "sample_rate_hz": 16_000,
        "task": "speaker",
    }


def test_odd_file_names_are_stored_and_shown_escaped(digits, tmp_path, capsys):
    folder = digits / "recordings"
    for take in range(12):
        for name in ("\x1b[1mcarl", "dora\udcff"):
            path = folder / f"4_{name}_{take}.wav"
            path.write_bytes((folder / f"3_anna_{take}.wav").read_bytes())
    (folder / "4_dora\udcff_8.wav").write_bytes(b"RIFF, but no more")
    (folder / "extra\udcff.m4a").touch()
    command(
        "--corpus=free_spoken_digits",
        f"--corpus_dir={digits}",
        f"--out={tmp_path / 'set'}",
        "--rep=magnitude",
        "--file_format=npz",
        "--crops_train=5",
        "--on_error=skip",
    )
    printed = capsys.readouterr().out
    assert printed.isascii() and printed.replace("\n", "").isprintable()
    assert r"4_dora\udcff_8.wav: " in printed and r"extra\udcff.m4a" in printed
    info = records.info(tmp_path / "set")
    assert info.labels == (r"\x1b[1mcarl", "anna", "bert", r"dora\udcff")
    found = records.load(records.read(tmp_path / "set", "test"), fields=("id",))
    assert r"4_\x1b[1mcarl_3@0" in {each.split("@")[0] + "@0" for each in found["id"]}
    assert "left out: 1 file (extra" in info.metadata["notes"][0]


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("--corpus=librispeech", "--corpus_dir=FOLDER"),
        ("--corpus=voices(num_speakers=1)", "num_speakers=1"),
    ],
)
def test_bad_requests_end_with_one_line(tmp_path, argument, complaint):
    with pytest.raises(SystemExit, match=complaint):
        command(argument, f"--out={tmp_path / 'set'}")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_representation_is_refused_by_its_flag(tmp_path):
    with pytest.raises(flags.IllegalFlagValueError, match="--rep=mfcc: .*mfbe"):
        command("--rep=mfcc", f"--out={tmp_path / 'set'}")


def test_importing_the_command_defines_no_flags():
    # In a process of its own: other tests import programs that do define flags.
    check = (
        "import data_prep.build, data_prep.verify; from absl import flags; "
        "assert not {'out', 'crops_train', 'num_records'} & set(flags.FLAGS)"
    )
    folder = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", check], cwd=folder, check=True)


def test_real_speech_from_end_to_end(advjax_data, tmp_path, capsys):
    command(
        "--corpus=librispeech(speakers=(1088, 118))",
        f"--corpus_dir={advjax_data / 'LibriSpeech'}",
        f"--out={tmp_path / 'set'}",
        "--crops_train=8",
        "--crops_validation=2",
        "--crops_test=4",
    )
    assert "librispeech: 16 train, 4 validation, 8 test" in capsys.readouterr().out
    loaded = records.load(records.read(tmp_path / "set", "test", expect=MelEnergies()))
    # Every frame has norm 8, but for the padding of short recordings.
    norms = np.linalg.norm(loaded["features"][..., 0], axis=2)
    last = [np.flatnonzero(audio)[-1] for audio in loaded["audio"]]
    for of_clip, end in zip(norms, last, strict=True):
        sounding = np.arange(160) * 160 <= end
        np.testing.assert_allclose(of_clip, 8.0 * sounding, atol=1e-3)
    assert np.mean(norms > 1) > 0.9
    assert set(loaded["speaker"]) == {"1088", "118"}


def test_real_environmental_sound_from_end_to_end(advjax_data, tmp_path, capsys):
    command(
        "--corpus=esc50(classes=('dog', 'rain'), fold=2, pitch_shift='resample')",
        f"--corpus_dir={advjax_data / 'ESC-50'}",
        f"--out={tmp_path / 'set'}",
        "--rep=magnitude",
        "--file_format=npz",
    )
    printed = capsys.readouterr().out
    with (advjax_data / "ESC-50" / "meta" / "esc50.csv").open() as file:
        folds = collections.Counter(
            row["fold"]
            for row in csv.DictReader(file)
            if row["category"] in ("dog", "rain")
        )
    num_shifted = 4 * sum(folds[fold] for fold in "145")
    num_train = num_shifted * 5 // 4
    assert (
        f"esc50: {num_train} train, {folds['3']} validation, {folds['2']} test "
        "examples of 2 classes"
    ) in printed
    assert f"train: {num_train} clips are longer than the 1.61 s" in printed
    ids = {
        split: list(records.load(records.read(tmp_path / "set", split))["id"])
        for split in SPLITS
    }
    # Pitch-shifted clips are for training; what is measured is as it was recorded.
    assert sum("~x" in each for each in ids["train"]) == num_shifted
    assert not any("~x" in each for each in ids["validation"] + ids["test"])
    assert {each[0] for each in ids["test"]} == {"2"}
