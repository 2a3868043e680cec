import types

import jax
import jax.numpy as jnp
import numpy as np

from advjax import evaluation
from advjax.evaluation import Point
from advjax.smoothing import gaussian
from experiments.lab import held_out

COUNT = 2 * held_out._AT_ONCE + 7
X = np.random.default_rng(0).normal(size=(COUNT, 3)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, COUNT)
W = jnp.asarray([[1.0, -1.0], [0.5, 0.2], [0.0, 0.3]])
LINEAR = jax.tree_util.Partial(lambda w, x: x @ w, W)


def system(made):
    """A stand-in for a system; `made` gets the points as they are made."""

    def each_test_point():
        for index in range(COUNT):
            made.append(index)
            yield Point(index, f"{index}", X[index], int(Y[index]))

    return types.SimpleNamespace(
        data=types.SimpleNamespace(test=range(COUNT)),
        each_test_point=each_test_point,
        logits_fn=lambda: LINEAR,
        stage=types.SimpleNamespace(name="waveform"),
        noise=gaussian(0.7),
        task=types.SimpleNamespace(seed=4),
    )


def test_accuracy_in_parts_is_that_of_all_clips_at_once():
    found = held_out.held_out_accuracy(system([]))
    keys = jax.random.split(jax.random.key(4), COUNT)
    copies = jax.vmap(gaussian(0.7).sample)(keys, X)
    for share, x in ((found.clean, X), (found.noisy, copies)):
        right = (np.asarray(x @ W).argmax(axis=1) == Y).sum()
        assert (share.count, share.total) == (right, COUNT)
    assert found.clean != found.noisy


def test_no_more_than_a_part_of_the_clips_is_made_ahead(monkeypatch):
    made, seen, logits = [], [], evaluation.logits_of_batch

    def watched(logits_fn, x, *, batch_size):
        seen.append((len(made), len(x)))
        return logits(logits_fn, x, batch_size=batch_size)

    monkeypatch.setattr(evaluation, "logits_of_batch", watched)
    right = held_out.is_right(system(made), batch_size=40)
    np.testing.assert_array_equal(right, np.asarray(X @ W).argmax(axis=1) == Y)
    assert seen == [(40, 40), (80, 40), (COUNT, COUNT - 80)]
