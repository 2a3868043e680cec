"""Clips in a few buckets have the rows and files of clips at their own length."""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.probabilities import log_mean_softmax
from advjax.representations import LogMelChunks
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import clips
from experiments.studies.sound_events import answers, attacks, features, jobs, sizes

CHUNK = clips.CHUNK_SAMPLES
SIZE = sizes.PRESETS["small"]._replace(steps=6, lbfgs_steps=4)
PLANS = attacks.plans(SIZE, "min")


class System:
    """Clips of one to four chunks, and a network that notes what it is traced on."""

    sounds = types.SimpleNamespace(name="noises", labels=("a", "b", "c"))
    task = types.SimpleNamespace(seed=0)

    def __init__(self):
        generator = np.random.default_rng(0)
        self.traced = collections.Counter()
        self.classifier = types.SimpleNamespace(
            digest=lambda: "none", logits_fn=lambda at: self.logits
        )
        sounds = [
            clips.Clip(
                f"{n}",
                generator.normal(0, 900, n * CHUNK - 99).astype(np.int16),
                0,
                True,
            )
            for n in (3, 1, 4, 2, 3)
        ]
        self.untargeted = jobs.untargeted_jobs(
            [clip._replace(id=f"{i}") for i, clip in enumerate(sounds)], 5
        )
        self.targeted = [each._replace(target=1) for each in self.untargeted]
        self.logits = jax.tree_util.Partial(self._logits)

    def _logits(self, x, length=None):
        """Logits of chunks by the levels of their parts, each with its neighbour's."""
        self.traced[len(x) // CHUNK] += 1
        weights = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)
        power = jnp.square(x.reshape(-1, 1024)).mean(axis=1)
        power += jnp.square(jnp.pad(x, (0, 512))[512:].reshape(-1, 1024)).mean(axis=1)
        rows = jnp.log(power.reshape(-1, 64) + 1e-9) @ weights
        counts = None if length is None else jnp.asarray(length // CHUNK)
        return log_mean_softmax(rows / 8, counts)


def attacked(name, folder):
    system = System()
    job = types.SimpleNamespace(
        resolve=lambda: system,
        folder=folder,
        environment={},
        cell=types.SimpleNamespace(path=f"tiny/{name}"),
    )
    attacks.AttackClips(PLANS[name], 2).run(job)
    return system.traced, ATTACK_ROWS.read(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_rows_and_files_are_those_of_the_own_length(name, tmp_path, monkeypatch):
    lengths, wanted = attacked(name, tmp_path / "own")
    monkeypatch.setattr(clips, "compiling_is_slow", lambda: True)
    buckets, found = attacked(name, tmp_path / "buckets")
    assert sorted(lengths) == [1, 2, 3, 4] and sorted(buckets) == [1, 2, 4]
    assert sum(buckets.values()) < sum(lengths.values())
    assert found.id == wanted.id
    for column in ("label", "clean", "target", "predict", "success", "queries"):
        np.testing.assert_array_equal(getattr(found, column), getattr(wanted, column))
    for column in ("budget", "snr_db", "linf", "l2", "gt", "new", "zero_gradient"):
        got, want = getattr(found, column), getattr(wanted, column)
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-4)
    for id in wanted.id:
        got, want = (
            np.load(tmp_path / folder / "x_adv" / f"{id}.npy")
            for folder in ("buckets", "own")
        )
        np.testing.assert_allclose(got, want, atol=2e-4)


FRONT_END = LogMelChunks()


@jax.tree_util.Partial
def logits_of_levels(levels, length=None):
    weights = np.random.default_rng(2).normal(size=(64, 3)).astype(np.float32)
    return log_mean_softmax(levels.mean(axis=1)[:, :, 0] @ weights / 20, length)


@jax.tree_util.Partial
def logits_of_waves(wave, length=None):
    if length is None:
        return logits_of_levels(FRONT_END.step(wave))
    return logits_of_levels(*FRONT_END.step_padded(wave, length))


class LevelSystem(System):
    """A network on levels."""

    def __init__(self):
        super().__init__()
        self.clean_jobs = lambda: self.untargeted
        self.classifier = types.SimpleNamespace(
            digest=lambda: "none",
            labels=("a", "b", "c"),
            representation=FRONT_END,
            logits_fn=lambda at, precision="": (
                logits_of_waves if at == "waveform" else logits_of_levels
            ),
        )


def job_at(folder):
    return types.SimpleNamespace(
        resolve=LevelSystem, out=folder, task=types.SimpleNamespace(kind="tiny")
    )


def attacked_levels(folder):
    features.AtFeatures().run(job_at(folder))
    lines = (folder / "features/tiny.tsv").read_text().splitlines()[2:]
    names = sorted(path.name for path in (folder / "features/tiny").iterdir())
    return [line.split("\t") for line in lines], names


@pytest.mark.slow
def test_attacks_at_the_features_are_those_of_the_own_length(tmp_path, monkeypatch):
    text = "carlini_wagner(num_searches=1,num_steps=8,learning_rate=9.0,initial_c=1e4)"
    monkeypatch.setattr(features, "ATTACK", text)
    monkeypatch.setattr(features, "ITERATIONS", 1)
    wanted, files = attacked_levels(tmp_path / "own")
    monkeypatch.setattr(clips, "compiling_is_slow", lambda: True)
    found, same = attacked_levels(tmp_path / "buckets")
    # A pair for each of the four lengths, and their list.
    assert same == files and len(files) == 9
    for got, want in zip(found, wanted, strict=True):
        assert got[:-1] == want[:-1] and want[1] != want[2]
        assert float(got[-1]) == pytest.approx(float(want[-1]), rel=1e-3)


@pytest.mark.slow
def test_predictions_are_those_of_the_own_length(tmp_path, monkeypatch):
    def predictions(folder):
        system = LevelSystem()
        answers.Answers((), True).run(job_at(folder))
        sounds = [each.sound for each in system.untargeted]
        return (
            (folder / "answers/tiny.tsv").read_bytes(),
            clips.predictions(system.classifier, sounds).tolist(),
        )

    monkeypatch.setattr(answers, "SUITE", ("low_pass(cutoff_hz=4000)",))
    wanted = predictions(tmp_path / "own")
    monkeypatch.setattr(clips, "compiling_is_slow", lambda: True)
    assert predictions(tmp_path / "buckets") == wanted
