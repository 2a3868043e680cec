"""Padded examples give the results of their own length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import (
    ATTACKS,
    carlini_wagner,
    deepfool,
    expectation,
    fitting_slots,
    lbfgs,
    noise,
    on_pcm16,
    pgd,
    run_batch,
    snapshots,
)
from advjax.attacks.checks import zero_gradient_shares
from advjax.padding import PaddedLogits, pad
from advjax.probabilities import log_mean_softmax
from advjax.runtime.parallel import data_mesh

CHUNK = 4
GENERATOR = np.random.default_rng(1)


@jax.tree_util.Partial
def logits_of(x, length=None):
    """Chunks of four samples; each sees one sample of the chunk before it, too."""
    weights = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    before = jnp.pad(x, (1, 0))[: len(x)]
    chunks = jnp.concatenate(
        [x.reshape(-1, CHUNK), before.reshape(-1, CHUNK)[:, :1] * jnp.ones((1, 4))],
        axis=1,
    )
    rows = jnp.tanh(chunks @ weights[0]) @ weights[1, :, :3] * 3
    counts = None if length is None else jnp.asarray(length // CHUNK)
    return log_mean_softmax(rows, counts)


LENGTHS = (12, 20, 12, 20, 20, 12)
X = [GENERATOR.uniform(-0.6, 0.6, n).astype(np.float32) for n in LENGTHS]
Y = np.asarray([int(logits_of(x).argmax()) for x in X], np.int32)
GOALS = (Y + 1) % 3
KEYS = jax.random.split(jax.random.key(4), len(X))
BUDGETS = np.linspace(0.02, 0.3, len(X), dtype=np.float32)
WAGNER = {"num_searches": 3, "num_steps": 20}
CASES = {
    "pgd": pgd(num_steps=6, num_restarts=2),
    "pgd l2": pgd(num_steps=6, norm="l2"),
    "noise": noise(num_draws=3),
    "noise linf": noise(num_draws=3, norm="linf", law="uniform"),
    "deepfool": deepfool(),
    "deepfool linf": deepfool(norm="linf", select="max", num_candidates=None),
    "carlini_wagner": carlini_wagner(**WAGNER),
    "carlini_wagner mean": carlini_wagner(
        **WAGNER, learning_rate=0.02, initial_c=0.05, mean_square=True
    ),
    "carlini_wagner one-sided": carlini_wagner(
        **WAGNER, learning_rate=0.02, bounds=(-1.0, 2.0)
    ),
    "carlini_wagner l0": carlini_wagner(**WAGNER, norm="l0", learning_rate=0.05),
    "carlini_wagner linf": carlini_wagner(**WAGNER, norm="linf"),
    "lbfgs": lbfgs(num_searches=3, num_steps=10, initial_c=1.0, targeted=True),
    "pcm16": on_pcm16(pgd(num_steps=3, norm="l2"), num_steps=4),
    "pcm16 of a black box": on_pcm16(noise(num_draws=2), num_steps=4),
}
QUICK = ("pgd l2",)


def alone(attack, goals):
    """Results on the examples of each length by themselves."""
    found = {}
    for length in set(LENGTHS):
        at = [i for i, n in enumerate(LENGTHS) if n == length]
        x, budgets = np.stack([X[i] for i in at]), BUDGETS[at]
        for place, result in run_batch(
            attack, logits_of, x, goals[at], KEYS[np.asarray(at)], budgets
        ):
            found[at[place]] = result
    return found


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES],
)
def test_padded_examples_give_the_results_of_their_own_length(name):
    attack = CASES[name]
    goals = GOALS if attack.targeted else Y
    wanted = alone(attack, goals)
    found = dict(
        run_batch(attack, logits_of, pad(X, 32), goals, KEYS, BUDGETS, num_slots=4)
    )
    for index, x in enumerate(X):
        got, want = found[index], wanted[index]
        assert got.x_adv.shape == x.shape
        np.testing.assert_allclose(got.x_adv, want.x_adv, atol=1e-4)
        np.testing.assert_allclose(got.logits, want.logits, atol=1e-3)
        assert (got.queries, got.success) == (want.queries, want.success)
    assert any((found[i].x_adv != x).any() for i, x in enumerate(X))


def test_every_attack_says_whether_it_takes_padding():
    takes = {name.partition(" ")[0] for name in CASES} - {"pcm16"} | {"fgsm", "bim"}
    refusing = {"jsma", "nes", "partial_information", "imperceptible"}
    assert set(ATTACKS) == takes | refusing
    assert all(attack.any_length for attack in CASES.values())
    mixed = expectation(CASES["pgd"], sample=lambda key, x: x)
    for attack in (ATTACKS["jsma"](), ATTACKS["nes"](), mixed):
        with pytest.raises(ValueError, match="other results on padded examples"):
            run_batch(attack, logits_of, pad(X, 32), Y, KEYS, BUDGETS)


@pytest.mark.slow
def test_several_lengths_are_one_program_on_any_number_of_devices():
    traces = []

    def traced(x, length):
        traces.append(x.shape)
        return logits_of(x, length)

    f, attack = jax.tree_util.Partial(traced), pgd(num_steps=4)

    def many(x, mesh):
        return dict(
            run_batch(attack, f, x, Y[:4], KEYS[:4], 0.1, num_slots=2, mesh=mesh)
        )

    for mesh in (None, data_mesh(jax.devices()[:2])):
        few = many(pad(X[:4], 32), mesh)
        before = len(traces)
        again = many(pad([x[:12] for x in X[:4]], 32), mesh)
        assert len(traces) == before
        assert few[1].x_adv.shape == (20,) and again[1].x_adv.shape == (12,)
    assert set(traces) == {(32,)}
    assert fitting_slots(attack, f, (32,), num_slots=2, padded=True) == 2


def test_a_snapshot_of_padded_examples_is_continued(tmp_path):
    attack, path = CASES["pgd"], tmp_path / "attack.npz"
    options = {"num_slots": 2, "block": 2}
    examples = (pad(X, 32), Y, KEYS, BUDGETS)
    wanted = dict(run_batch(attack, logits_of, *examples, **options))
    early = {}
    for index, result in run_batch(
        attack, logits_of, *examples, **options,
        on_block=lambda slots: snapshots.save(path, slots, "abcdef"),
    ):  # fmt: skip
        early[index] = result
        if len(early) == 2:
            break
    one = PaddedLogits(logits_of, np.zeros((), np.int32))
    slots, _ = snapshots.load(path, attack, one, jnp.zeros(32))
    late = dict(run_batch(attack, logits_of, *examples, block=2, slots=slots))
    for index, want in wanted.items():
        np.testing.assert_array_equal((early | late)[index].x_adv, want.x_adv)


def test_zero_gradients_are_counted_without_the_padding():
    def first_half(x, length=None):
        count = (len(x) if length is None else length) // 2
        return jnp.stack([jnp.sum(jnp.where(jnp.arange(len(x)) < count, x, 0)), 0.0])

    found = zero_gradient_shares(first_half, pad(X, 32), np.zeros(len(X), np.int32))
    np.testing.assert_allclose(found, 0.5)
