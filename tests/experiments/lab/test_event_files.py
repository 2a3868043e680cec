"""Event files for TensorBoard: read back, after a stop, and refused in words."""

import struct
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.training import loop
from experiments import requests
from experiments import train as program
from experiments.lab import event_files
from tests.training.test_loop import train, weights


def events(folder):
    """The events of all files, in their order."""
    from tensorboardX.proto import event_pb2

    for file in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content, start = file.read_bytes(), 0
        while start < len(content):  # length, its checksum, an event, its checksum
            (length,) = struct.unpack_from("<Q", content, start)
            yield event_pb2.Event.FromString(content[start + 12 : start + 12 + length])
            start += length + 16


def shown(folder):
    """Steps by tag, as TensorBoard shows them: a new session drops those after it."""
    found = {}
    for event in events(folder):
        if event.HasField("session_log"):
            found = {n: [s for s in v if s < event.step] for n, v in found.items()}
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
    return found


def observed(folder, **run):
    with event_files.observer(folder) as observe:
        return train(observe=observe, **run)


@pytest.mark.slow
def test_an_interrupted_training_shows_each_step_once(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    judge, folder = loop._judge, tmp_path / "events"

    def stop_at_30(state, *args):
        if int(state.step) == 30:
            raise KeyboardInterrupt
        return judge(state, *args)

    monkeypatch.setattr(loop, "_judge", stop_at_30)
    with pytest.raises(KeyboardInterrupt):
        observed(folder, workdir=tmp_path / "training")
    assert shown(folder)["validation/loss"] == [10, 20, 30]
    monkeypatch.setattr(loop, "_judge", judge)
    resumed = observed(folder, workdir=tmp_path / "training")
    assert len(list(folder.iterdir())) == 2
    found = shown(folder)
    pace = found.pop("train/steps_per_second")
    # A start has no pace before its second call.
    assert pace == [20, 40] and set(map(tuple, found.values())) == {(10, 20, 30, 40)}
    assert found.keys() >= {"train/loss", "train/learning_rate", "validation/accuracy"}
    for a, b in zip(weights(resumed), weights(train()), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_program_writes_events_beside_its_classifiers(tmp_path, capsys):
    pytest.importorskip("tensorboardX")
    small = {
        "corpus": "voices(num_speakers=2, minutes_per_speaker=0.3)", "num_steps": 20,
        "model": "rescnn(width=1, embedding_size=8)", "batch_size": 8,
    }  # fmt: skip
    with flagsaver.flagsaver(home=str(tmp_path), log="tensorboard", **small):
        program.main()
    (folder,) = (tmp_path / "classifiers").iterdir()
    assert shown(tmp_path / "tensorboard" / folder.name)["train/loss"] == [10, 20]
    assert f"--logdir={tmp_path}/tensorboard" in capsys.readouterr().err


def test_without_a_folder_there_is_no_observer():
    with event_files.observer(None) as observe:
        assert observe is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the package tensorboardX is missing: pip install tensorboardX"),
        (
            {"model": "surf_svm", "features": "dwt", "rep": "image"},
            "no training by gradients",
        ),
    ],
)
def test_what_cannot_be_logged_is_refused_before_any_work(
    given, message, tmp_path, monkeypatch
):
    present = None if not given else sys
    monkeypatch.setitem(sys.modules, "tensorboardX", present)
    given = {"home": str(tmp_path), "log": "tensorboard", **given}
    with (
        flagsaver.flagsaver(**given),
        pytest.raises((ImportError, ValueError), match=message),
    ):
        requests.draft(defence="plain")
    assert not any(tmp_path.iterdir())


def test_the_log_changes_no_folder_of_a_classifier(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", sys)
    with flagsaver.flagsaver(home=str(tmp_path)):
        plain = requests.draft()
    with flagsaver.flagsaver(home=str(tmp_path), log="tensorboard"):
        logged = requests.draft()
    assert logged.task == plain.task and (logged.log, plain.log) == (
        "tensorboard",
        None,
    )
