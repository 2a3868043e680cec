import json
import threading
import time
import types

import numpy as np
import pytest
import soundfile
from absl import flags

from advjax import checkpoint, records
from advjax.runtime.locks import reserve
from data_prep import build
from experiments.lab import pipeline
from experiments.lab.pipeline import Task
from tests import record_sets


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
    folder = task.records
    assert "20 whole training clips of 2 classes of esc50(" in capsys.readouterr().err
    assert records.info(folder).splits == {"train": 20, "validation": 2, "test": 2}
    assert Task.records.func(task) == folder
    assert "(found)" in capsys.readouterr().err


def test_records_that_another_start_has_built_meanwhile_are_taken(
    tmp_path, monkeypatch
):
    def built_by_another(corpus, representation, folder, **options):
        folder.mkdir(parents=True)
        raise FileExistsError(folder)

    monkeypatch.setattr(build, "build", built_by_another)
    task = Task(home=tmp_path, corpus="voices(num_speakers=2, minutes_per_speaker=0.5)")
    assert task._build_records().is_dir()


def test_of_two_trainings_of_one_classifier_the_second_finds_the_first(
    tmp_path, monkeypatch, capsys
):
    trained = []

    def train(self, module, *, workdir, **_):
        workdir.mkdir(parents=True)  # another one would find its checkpoints here
        trained.append(workdir)
        time.sleep(0.3)
        return "classifier"

    monkeypatch.setattr(Task, "_fit", train)
    monkeypatch.setattr(Task, "records", tmp_path)
    labels = types.SimpleNamespace(labels=("a", "b"))
    monkeypatch.setattr(records, "info", lambda folder: labels)
    monkeypatch.setattr(
        checkpoint, "save", lambda folder, saved, **_: folder.mkdir(parents=True)
    )
    monkeypatch.setattr(checkpoint, "load", lambda folder: "classifier")
    folder = tmp_path / "classifiers" / "c"
    found = []

    def start():
        task = Task(home=tmp_path, defence="plain")
        found.append(task._trained(folder, {"at": "mfbe"}))

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["classifier"] * 3
    assert len(trained) == 1
    told = capsys.readouterr().err
    assert told.count("is being made by") == 2
    assert told.count("(found)") == 2
    assert [path.name for path in folder.parent.iterdir()] == ["c"]


def test_a_second_build_of_one_folder_ends_with_one_line(tmp_path, monkeypatch):
    values = flags.FlagValues()
    build.define_flags(values)
    values(["build", f"--out={tmp_path / 'set'}"])
    with reserve(tmp_path / "set"), pytest.raises(SystemExit) as ended:
        build.main(["build"], values)
    assert "set is being made by" in str(ended.value.code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("defence", "text"),
    [
        # Folders of classifiers are named by these.
        ("gaussian", "gaussian(sigma=0.5)"),
        ("gaussian(sigma=0.1)", "gaussian(sigma=0.1)"),
        ("macer", "macer(sigma=0.5)"),
        ("consistency(lbd=5.0, sigma=0.1)", "consistency(sigma=0.1, lbd=5.0)"),
        ("fused_adversarial(eps=0.05)", "fused_adversarial(eps=0.05)"),
    ],
)
def test_a_defence_that_takes_a_sigma_is_named_with_it(tmp_path, defence, text):
    assert Task(home=tmp_path, sigma=0.5, defence=defence).defence_text == text


def test_records_are_told_apart_by_what_was_recorded(tmp_path):
    def digest(name, sign):
        folder = tmp_path / name
        crops = [record_sets.example("train", index) for index in range(3)]
        crops[1]["audio"] = sign * crops[1]["audio"]
        record_sets.write(folder, {"train": crops}, file_format="npz")
        return pipeline.records_digest(folder)

    one, other = digest("a", np.int16(1)), digest("b", np.int16(-1))
    assert one == digest("c", np.int16(1)) != other


def test_records_of_an_earlier_version_keep_their_digest(tmp_path, capsys):
    record_sets.write(tmp_path / "set", file_format="npz")
    path = tmp_path / "set" / "records.json"
    header = json.loads(path.read_text())
    del header["content"]
    path.write_text(json.dumps(header))
    # Folders of classifiers and the settings of runs bear it.
    assert pipeline.records_digest(tmp_path / "set") == "7928eb1df8a2277b"
    task = Task(home=tmp_path)
    assert task._built(tmp_path / "set", None, None) == tmp_path / "set"
    assert "(found; an older version built them" in capsys.readouterr().err
