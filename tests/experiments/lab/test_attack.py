"""One run over points of several shapes, as clips of any length are."""

import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import interop
from advjax.attacks import fgsm
from advjax.evaluation import Point
from advjax.representations import Waveform
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import attack, attack_requests, classifiers
from experiments.lab.adversarial_examples import EXAMPLES_FOLDER

EPS = 0.25


@jax.tree_util.Partial
def logits_fn(x):
    return jnp.stack([x.mean(), 0.1 - x.mean()])


def point(number, length):
    return Point(number, f"clip-{number}>b", np.full(length, 0.2, np.float32), 0)


class Clips:
    """Two batches, which count how often their inputs are computed."""

    def __init__(self, folder):
        self.asked = []
        self.groups = [[point(0, 4), point(1, 4)], [point(2, 8)]]
        ids = [[each.id for each in group] for group in self.groups]
        self.prepared = attack.Prepared(
            folder=folder,
            settings={"num_points": 3},
            environment={},
            title="fgsm",
            logits_fn=logits_fn,
            batches=[
                attack.Batch(names, lambda number=number: self.inputs(number))
                for number, names in enumerate(ids)
            ],
            key=jax.random.key(0),
            num_slots=2,
            mixed=True,
        )

    def inputs(self, number):
        self.asked.append(number)
        group = self.groups[number]
        built = fgsm(bounds=(-1.0, 1.0))
        return attack.Inputs(built, group, [EPS] * len(group))


@pytest.fixture
def clips(tmp_path):
    return Clips(tmp_path / "run")


def test_every_point_has_its_row_and_a_file_of_its_shape(clips):
    attack.run(clips.prepared)
    folder = clips.prepared.folder
    rows = ATTACK_ROWS.read(folder)
    assert sorted(rows.id) == ["clip-0>b", "clip-1>b", "clip-2>b"]
    assert rows.success.all() and runs.num_missing(folder) == 0
    files = sorted((folder / EXAMPLES_FOLDER).iterdir())
    assert [file.name for file in files] == [f"clip-{n}_b.npy" for n in range(3)]
    for file, length in zip(files, (4, 4, 8), strict=True):
        np.testing.assert_allclose(np.load(file), np.full(length, 0.2 - EPS), atol=1e-6)


def test_a_finished_batch_is_not_computed_again(clips):
    attack.run(clips.prepared)
    path = clips.prepared.folder / "rows.tsv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert runs.num_missing(clips.prepared.folder) == 1
    clips.asked.clear()
    attack.run(clips.prepared)
    assert clips.asked == [1]
    assert path.read_bytes().count(b"\n") == len(lines)
    attack.run(clips.prepared)
    assert clips.asked == [1]


class Timer:
    """A timer whose time is over as soon as an attack of it begins."""

    def __init__(self, seconds, function, args):
        self.call, self.cancelled = (function, args), 0
        Timer.made = [*Timer.made, self]

    def start(self):
        assert not self.cancelled
        function, args = self.call
        function(*args)

    def cancel(self):
        self.cancelled += 1

    made = ()


@pytest.mark.parametrize("long", [True, False])
def test_a_gradient_that_compiles_long_is_said(clips, monkeypatch, long):
    network = interop.ForeignClassifier(
        logits_fn, Waveform(), (), (0, 1), "torch:a.py:make", recurrent=long
    )
    text = classifiers.compiles_long(network)
    monkeypatch.setattr(Timer, "made", ())
    monkeypatch.setattr(threading, "Timer", Timer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attack.run(clips.prepared._replace(compiles_long=text))
    said = [str(each.message) for each in caught]
    assert said == [text] * long
    if long:
        assert "torch:a.py:make" in text and "black_box=True" in text
    # After a round of each batch, and at the end.
    assert [timer.cancelled for timer in Timer.made] == [3]


def test_progress_counts_the_work_of_points_where_batches_differ(clips, capsys):
    batches = [
        batch._replace(work=work)
        for batch, work in zip(clips.prepared.batches, (10, 300), strict=True)
    ]
    attack.run(
        clips.prepared._replace(batches=batches),
        plan=lambda done: [f"{len(done)} are done"],
    )
    said = capsys.readouterr().err
    assert "            0 are done\n" in said
    assert "fgsm: 320 passes in" in said


def test_slots_are_as_many_as_fit_the_device(clips, monkeypatch, capsys):
    asked = []

    def half(attack, logits_fn, shape, *, num_slots, mesh, padded):
        assert not padded
        asked.append((shape, num_slots))
        return num_slots // 2

    monkeypatch.setattr(attack, "fitting_slots", half)
    attack.run(clips.prepared)
    assert asked == [((4,), 2), ((8,), 2)]
    assert "memory      holds 1 clips at once, not 2" in capsys.readouterr().err
    assert ATTACK_ROWS.read(clips.prepared.folder).success.all()


def test_an_option_of_a_later_version_is_no_setting_of_earlier_runs():
    settings = attack_requests.all_options("carlini_wagner")
    assert "initial_c" in settings and "mean_square" not in settings
