import dataclasses
import json
import shutil

import numpy as np
import pytest
import soundfile
from absl import flags

from advjax import records
from advjax.representations import MelEnergies
from advjax.runtime.locks import reserve
from data_prep import build, program_flags
from experiments.lab import data, preflight
from experiments.lab.presets import PUBLICATION, SMALL, fitted
from experiments.lab.task import Task
from tests import record_sets
from tests.data_prep.corpora import own_folders
from tests.data_prep.corpora.own_folders import clip


def test_records_of_a_corpus_of_whole_clips(tmp_path, capsys):
    audio, meta = tmp_path / "ESC-50" / "audio", tmp_path / "ESC-50" / "meta"
    audio.mkdir(parents=True)
    meta.mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in (1, 2, 3, 4):
        for target, name in ((0, "dog"), (10, "rain")):
            file = f"{fold}-{fold}{target}-A-{target}.wav"
            noise = np.random.default_rng([fold, target]).uniform(-0.5, 0.5, 40_000)
            soundfile.write(audio / file, noise, 16_000)
            lines.append(f"{file},{fold},{target},{name},True,{fold}{target},A")
    (meta / "esc50.csv").write_text("\n".join(lines))
    task = Task(
        home=tmp_path / "runs",
        corpus="esc50(fold=4, pitch_shift='resample')",
        corpus_dir=str(tmp_path / "ESC-50"),
        features="magnitude",
        at="magnitude",
    )
    source = task.draft().source
    assert source.sizes == {"train": 20, "validation": 2, "test": 2}
    folder = source.resolve().folder
    assert "20 whole training clips of 2 classes of esc50(" in capsys.readouterr().err
    assert records.info(folder).splits == {"train": 20, "validation": 2, "test": 2}
    assert source.resolve().folder == folder
    # All of its labels are checked, and masking has nothing to do.
    assert source.resolve().dataset("train", "magnitude").verified is None
    assert "(found)" in capsys.readouterr().err
    # A set that was deleted is built again.
    (made,) = records.sets(folder)
    assert made == folder / "esc50" / "magnitude" / "1.0.0"
    shutil.rmtree(made)
    assert records.sets(source.resolve().folder) == [made]


def test_records_know_the_labels_that_nobody_has_checked(tmp_path):
    root = tmp_path / "FSDKaggle2018"
    (root / "audio_train").mkdir(parents=True)
    lines, checked = ["fname,label,manually_verified"], {}
    for number in range(10):
        name, label = f"{number:08x}", ("Cello", "Oboe")[number % 2]
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 40_000)
        soundfile.write(root / "audio_train" / f"{name}.wav", noise, 16_000)
        checked[name] = number not in (4, 9)
        lines.append(f"{name}.wav,{label},{int(checked[name])}")
    (root / "train.csv").write_text("\n".join(lines))
    task = Task(
        home=tmp_path / "runs",
        corpus="fsdkaggle2018",
        corpus_dir=str(root),
        features="magnitude",
        at="magnitude",
        defence="mixup(masking=0.8)",
    )
    made = task.draft().source.resolve()
    ids = records.load(made.split("train"), fields=("id",))["id"]
    for stage in ("magnitude", "waveform"):
        found = made.dataset("train", stage).verified
        assert found.tolist() == [checked[id.partition("@")[0]] for id in ids]
    assert not found.all() and found.any()


def test_records_that_another_start_has_built_meanwhile_are_taken(
    tmp_path, monkeypatch
):
    def built_by_another(corpus, representation, folder, **options):
        folder.mkdir(parents=True)
        raise FileExistsError(folder)

    monkeypatch.setattr(build, "build", built_by_another)
    source = data.source_of_corpus(
        "voices(num_speakers=2, minutes_per_speaker=0.5)",
        None,
        MelEnergies(),
        home=tmp_path,
        crops={"train": 2},
    )
    source.build()
    assert source.folder.is_dir()


def test_a_second_build_of_one_folder_ends_with_one_line(tmp_path, monkeypatch):
    values = flags.FlagValues()
    program_flags.define_build_flags(values)
    values(["build", f"--out={tmp_path / 'set'}"])
    with reserve(tmp_path / "set"), pytest.raises(SystemExit) as ended:
        build.main(["build"], values)
    assert "set is being made by" in str(ended.value.code)
    assert list(tmp_path.iterdir()) == []


def test_records_are_told_apart_by_what_was_recorded(tmp_path):
    def digest(name, sign):
        folder = tmp_path / name
        crops = [record_sets.example("train", index) for index in range(3)]
        crops[1]["audio"] = sign * crops[1]["audio"]
        record_sets.write(folder, {"train": crops}, file_format="npz")
        return data.records_digest(folder)

    one, other = digest("a", np.int16(1)), digest("b", np.int16(-1))
    assert one == digest("c", np.int16(1)) != other


def test_records_of_an_earlier_version_keep_their_digest(tmp_path, capsys):
    record_sets.write(tmp_path / "set", file_format="npz")
    path = tmp_path / "set" / record_sets.SET / "records.json"
    header = json.loads(path.read_text())
    del header["content"]
    path.write_text(json.dumps(header))
    # Folders of classifiers and the settings of runs bear it.
    assert data.records_digest(tmp_path / "set") == "7928eb1df8a2277b"
    given = data.source_of_records(str(tmp_path / "set"), record_sets.REPRESENTATION)
    dataclasses.replace(given, build=lambda: None).resolve()
    assert "(found; an older version built them" in capsys.readouterr().err


def test_a_small_folder_is_fitted_without_a_flag(tmp_path):
    own_folders.class_folders(tmp_path / "set", count=12)
    task = Task(
        home=tmp_path / "runs", corpus="folder", corpus_dir=str(tmp_path / "set")
    )
    draft = task.draft()
    # Clips are shorter than an example: each gives one.
    assert draft.source.sizes == {"train": 24, "validation": 3, "test": 9}
    preflight.check(draft, num_points=9)
    with pytest.raises(ValueError, match="--num_points=10: .*has 9 test clips at most"):
        preflight.check(draft, num_points=10)
    with pytest.raises(ValueError, match="--batch_size=64: .*24 training clips"):
        preflight.check(dataclasses.replace(task, fit_batch=False).draft())
    before = draft.source.folder
    clip(tmp_path / "set" / "cat" / "c0.wav", seconds=0.1)
    assert task.draft().source.folder != before
    folder = draft.source.resolve().folder
    assert records.info(folder).splits == {"train": 24, "validation": 3, "test": 9}


def test_a_recipe_is_fitted_to_less_than_a_batch():
    recipe = PUBLICATION.recipe
    assert fitted(recipe, 96) == recipe and fitted(recipe, 0) == recipe
    # Of ten speakers and of 921, as the publication has them.
    of_ten = recipe.of_sizes(6_000, 600)
    assert (of_ten.validate_every, of_ten.num_validation) == (62, None)
    of_921 = recipe.of_sizes(552_600, 55_260)
    assert (of_921.validate_every, of_921.num_validation) == (5_756, 6_000)
    small = fitted(recipe, 95)
    assert (small.batch_size, small.num_steps) == (95, 1_000)
    assert fitted(SMALL.recipe, 7).num_steps == SMALL.recipe.num_steps


def test_the_test_split_is_opened_once(tmp_path, monkeypatch):
    record_sets.write(tmp_path, file_format="npz")
    found = data.Data(folder=tmp_path, info=records.info(tmp_path))
    opened, read = [], records.read
    monkeypatch.setattr(records, "read", lambda *a: opened.append(a) or read(*a))
    assert found.num_points(None, 100) == record_sets.SIZES["test"]
    points = found.test_points(record_sets.REPRESENTATION, None)
    assert [point.label for point in points] == [0, 1, 2, 0]
    assert opened == [(tmp_path, "test")]
