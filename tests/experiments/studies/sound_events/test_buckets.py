"""Clips in a few buckets have the rows and files of clips at their own length."""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.probabilities import log_mean_softmax
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import clips
from experiments.studies.sound_events import attacks, jobs, sizes

CHUNK = clips.CHUNK_SAMPLES
SIZE = sizes.PRESETS["small"]._replace(steps=6, lbfgs_steps=4)
PLANS = attacks.plans(SIZE, "min")


class System:
    """Clips of one to four chunks, and a network that notes what it is traced on."""

    sounds = types.SimpleNamespace(name="noises")
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
