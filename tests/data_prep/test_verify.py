import io
import json

import jax
import numpy as np
import pytest
from absl import flags

from advjax import records
from advjax.representations import Magnitude, MelEnergies, Waveform
from advjax.signal.samples import from_int16
from data_prep.program_flags import define_verify_flags
from data_prep.verify import main, verify

REPRESENTATION = MelEnergies(source=Magnitude(source=Waveform(num_samples=1600)))
SIZES = {"train": 6, "test": 4}
APPLY = jax.jit(REPRESENTATION.apply)


def examples(split, wrong=None):
    for index in range(SIZES[split]):
        generator = np.random.default_rng([len(split), index])
        audio = generator.integers(-9000, 9000, 1600).astype(np.int16)
        yield records.Example(
            id=f"{split}-{index // 2}@{index}",
            audio=audio,
            features=np.asarray(APPLY(from_int16(audio))),
            label=index % 2,
            speaker="",
        ) | (wrong or {}).get((split, index), {})


def write(folder, wrong=None):
    records.write(
        folder,
        {split: examples(split, wrong) for split in SIZES},
        name="noise",
        representation=REPRESENTATION,
        labels=("anna", "bert"),
        file_format="npz",
    )
    return folder / "noise/mfbe/1.0.0"


def look(folder, **options):
    return verify(folder, stream=io.StringIO(), **options)


def command(*arguments):
    values = flags.FlagValues()
    define_verify_flags(values)
    main(values(["verify", *arguments]), values)


def test_good_records_have_nothing_wrong(tmp_path, capsys):
    folder = write(tmp_path / "set")
    found = look(folder)
    assert found.problems == ()
    assert found.num_records == found.num_recomputed == 10
    assert found.worst < 1e-5
    assert look(folder, num_records=3).num_recomputed == 3
    command(f"--records={folder}")
    assert "10 records, 10 recomputed; largest difference" in capsys.readouterr().out


@pytest.mark.parametrize("change", [0.02, np.nan])
def test_changed_features_are_found(tmp_path, capsys, change):
    folder = write(tmp_path / "set")
    path = folder / "test" / "features.npy"
    features = np.load(path)
    features[2, 1, 5, 0] += change
    np.save(path, features)
    found = look(folder)
    assert found.worst_id == "test-1@2"
    # Relative to the value, which may be up to 8.
    assert found.worst > 0.002 if np.isfinite(change) else found.worst == np.inf
    assert [problem.split(" is off")[0] for problem in found.problems] == ["test-1@2"]
    with pytest.raises(SystemExit, match="1 problems"):
        command(f"--records={folder}")
    assert "test-1@2 is off by" in capsys.readouterr().out
    # Whatever counts as rounding, it is not what was built.
    (problem,) = look(folder, tolerance=np.inf).problems
    assert problem.startswith("test-1@2")
    if change == 0.02:
        assert "not the record that was written" in problem


def test_changed_audio_is_found(tmp_path):
    folder = write(tmp_path / "set")
    path = folder / "train" / "audio.npy"
    audio = np.load(path)
    audio[4] = audio[4, ::-1]
    np.save(path, audio)
    assert look(folder).worst_id == "train-2@4"
    assert len(look(folder).problems) == 1


def test_an_utterance_on_both_sides_is_found(tmp_path):
    folder = write(tmp_path / "set", {("test", 1): {"id": "train-0@77"}})
    assert look(folder).problems == ("train-0 is in train and in test",)


def test_a_class_that_is_missing_from_a_split_is_found(tmp_path):
    wrong = {("test", index): {"label": 0} for index in range(4)}
    folder = write(tmp_path / "set", wrong)
    assert look(folder).problems == ("test has no records of bert",)


def test_repeated_ids_and_foreign_labels_are_found(tmp_path):
    folder = write(tmp_path / "set")
    index = folder / "train" / "index.json"
    texts = json.loads(index.read_text())
    texts["id"][3] = texts["id"][0]
    index.write_text(json.dumps(texts))
    labels = np.load(folder / "test" / "label.npy")
    labels[0] = 2
    np.save(folder / "test" / "label.npy", labels)
    assert look(folder).problems == (
        "the id train-0@0 occurs twice",
        "test-0@0 has the label 2",
    )


def test_missing_and_incomplete_folders_end_with_one_line(tmp_path):
    with pytest.raises(SystemExit, match="no records at"):
        command(f"--records={tmp_path / 'no'}")
    with pytest.raises(SystemExit, match="not a complete set"):
        command(f"--records={tmp_path}")
