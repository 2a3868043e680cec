"""Results of attacks that hold in files of 16 bits."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import wavfile

from advjax import attacks
from advjax.signal.samples import FULL_SCALE, from_int16, to_int16
from tests.problems import half_space

RNG = np.random.default_rng(0)
SIZE, COUNT = 300, 12
NORMALS = RNG.normal(size=(SIZE, 3)).astype(np.float32)
X = from_int16(RNG.integers(-9000, 9000, (COUNT, SIZE)).astype(np.int16))
KEYS = jax.random.split(jax.random.key(1), COUNT)


def score(normals, x):
    """Three planes, bent, so that the linearised classifier is not the whole truth."""
    return jnp.tanh(x @ normals / 9) * 5


F = jax.tree_util.Partial(score, jnp.asarray(NORMALS))
LOGITS = np.asarray(jax.vmap(F)(X))
Y = LOGITS.argmax(axis=1)


def from_file(x_adv):
    """The waveforms after writing and reading WAVs."""
    found = []
    for wave in x_adv:
        file = io.BytesIO()
        wavfile.write(file, 16_000, to_int16(np.asarray(wave)))
        found.append(from_int16(wavfile.read(io.BytesIO(file.getvalue()))[1]))
    return np.stack(found)


def judged(x_adv):
    return np.asarray(jax.vmap(F)(jnp.asarray(x_adv))).argmax(axis=1) != Y


def results(attack, budget=None, y=Y):
    found = dict(attacks.run_batch(attack, F, X, y, KEYS, budget))
    rows = [found[number] for number in range(COUNT)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def test_every_success_holds_in_its_file_where_plain_rounding_loses_some():
    # The overshoot is below the error of rounding.
    attack = attacks.deepfool(overshoot=1e-6, nudge=0.0)
    plain, finished = results(attack), results(attacks.on_pcm16(attack))
    assert plain.success.all() and plain.unfinished is None
    assert judged(from_file(plain.x_adv)).sum() < COUNT
    assert finished.success.all() and finished.unfinished.all()
    assert judged(from_file(finished.x_adv)).all()
    np.testing.assert_array_equal(from_file(finished.x_adv), finished.x_adv)
    assert (finished.queries > plain.queries).all()
    # Rounding moves a sample by half a step, the search a few by a step.
    moved = np.abs(finished.x_adv - plain.x_adv).max(axis=1) * FULL_SCALE
    assert moved.max() <= 2.5


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_finished_example_is_as_near_as_a_rounded_one(norm):
    attack = attacks.pgd(num_steps=20, norm=norm, stop="last")
    order = {"linf": np.inf, "l2": 2}[norm]
    smallest = attacks.deepfool(norm=norm, overshoot=0.0, nudge=0.0)
    size = np.linalg.norm(results(smallest).x_adv - X, order, axis=1)
    budget = np.float32(size * 1.2)
    rounded = from_file(results(attack, budget).x_adv)
    finished = results(attacks.on_pcm16(attack), budget)
    distance, plain = (
        np.linalg.norm(np.float64(x_adv) - X, order, axis=1)
        for x_adv in (finished.x_adv, rounded)
    )
    assert (distance <= np.maximum(budget, plain) * (1 + 1e-5)).all()
    assert (finished.success >= judged(rounded)).all()
    np.testing.assert_array_equal(from_file(finished.x_adv), finished.x_adv)
    assert finished.success.sum() > COUNT // 2
    np.testing.assert_array_equal(finished.success, finished.unfinished)
    np.testing.assert_array_equal(finished.success, judged(finished.x_adv))


def test_samples_that_an_l0_attack_left_alone_stay():
    x_adv = X.copy()
    x_adv[:, ::3] = results(attacks.deepfool()).x_adv[:, ::3] * 2 / 3
    for number in range(COUNT):
        found = attacks.finish_pcm16(F, X[number], x_adv[number], Y[number], norm="l0")
        kept = x_adv[number] == X[number]
        np.testing.assert_array_equal(np.asarray(found.x_adv)[kept], X[number][kept])


def test_a_black_box_is_finished_without_gradients():
    @jax.tree_util.Partial
    def box(x):
        shape = jax.ShapeDtypeStruct((3,), np.float32)
        return jax.pure_callback(
            lambda x: np.tanh(np.asarray(x) @ NORMALS / np.float32(9)) * np.float32(5),
            shape, x, vmap_method="expand_dims",
        )  # fmt: skip

    plain = results(attacks.deepfool(overshoot=1e-6, nudge=0.0)).x_adv
    finish = jax.jit(
        jax.vmap(lambda *a: attacks.finish_pcm16(box, *a, gradients=False))
    )
    found = finish(X, plain, jnp.asarray(Y))
    np.testing.assert_array_equal(found.success, found.unfinished)
    np.testing.assert_array_equal(found.success, judged(from_file(found.x_adv)))
    assert found.success.sum() > COUNT // 2 and judged(from_file(plain)).sum() < COUNT
    attack = attacks.on_pcm16(attacks.noise(norm="linf", num_draws=2))
    (_, result), *_ = attacks.run_batch(attack, box, X, Y, KEYS, 0.05)
    np.testing.assert_array_equal(result.x_adv, from_file(result.x_adv[None])[0])


def test_a_success_that_no_file_holds_is_none():
    # Within less than a step every file is the clean one.
    step, x = 1 / FULL_SCALE, np.zeros(8, np.float32)
    edge = half_space(np.ones(8), offset=8 * 0.2 * step)
    attack = attacks.pgd(num_steps=4)
    unrounded = attacks.run(attack, edge, x, 1, KEYS[0], 0.4 * step)
    found = attacks.run(attacks.on_pcm16(attack), edge, x, 1, KEYS[0], 0.4 * step)
    assert unrounded.success and found.unfinished and not found.success
    np.testing.assert_array_equal(found.x_adv, x)


def test_an_example_that_is_not_adversarial_is_only_rounded():
    near = X[0] + np.float32(0.3 / FULL_SCALE)
    found = attacks.finish_pcm16(F, X[0], near, Y[0])
    assert not found.success and not found.unfinished and found.queries == 1
    np.testing.assert_array_equal(found.x_adv, X[0])


def test_bounds_of_the_attack_bound_the_finished_example():
    least = float(np.abs(X).max())
    attack = attacks.pgd(num_steps=9, bounds=(-least, least))
    finished = results(attacks.on_pcm16(attack), np.float32(0.05))
    assert finished.success.any()
    assert np.abs(finished.x_adv).max() <= least


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="bounds in"):
        attacks.on_pcm16(attacks.fgsm(bounds=(0.0, np.inf)))
    with pytest.raises(ValueError, match="num_steps=0"):
        attacks.on_pcm16(attacks.fgsm(), num_steps=0)
    with pytest.raises(ValueError, match="choose linf, l2 or l0"):
        attacks.finish_pcm16(F, X[0], X[0], 0, norm="l1")
    with pytest.raises(ValueError, match="label 3 is no class"):
        attacks.finish_pcm16(F, X[0], X[0], 3)
    with pytest.raises(ValueError, match="x_adv"):
        attacks.finish_pcm16(F, X[0], X[0][:9], 0)
    assert repr(attacks.on_pcm16(attacks.fgsm())) == "on_pcm16(attack=fgsm())"
