import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import imperceptible, pgd, run
from advjax.metrics.audibility import audible_excess
from advjax.signal.masking import masking_threshold
from tests.problems import half_space, linear

RATE, NUM_SAMPLES = 16_000, 4096
GENERATOR = np.random.default_rng(0)
TIME = np.arange(NUM_SAMPLES) / RATE
# A voiced sound: harmonics of 120 Hz that fall with their number.
WAVE = sum(np.sin(2 * np.pi * 120 * k * TIME + k * k) / k for k in range(1, 40))
WAVE = jnp.asarray(0.1 * WAVE, jnp.float32)
NORMAL = GENERATOR.normal(size=NUM_SAMPLES) / np.sqrt(NUM_SAMPLES)
# The clip is of class 1 and lies 0.2 from the plane: 30 dB below it.
DISTANCE = 0.2 / np.linalg.norm(NORMAL)
OFFSET = 0.2 - float(np.asarray(WAVE, np.float64) @ NORMAL)
PLANE = half_space(NORMAL, OFFSET)
build = functools.partial(imperceptible, sample_rate_hz=RATE)


@functools.cache
def threshold():
    return jax.jit(functools.partial(masking_threshold, sample_rate_hz=RATE))(WAVE)


@jax.jit
def _excess(x_adv, threshold):
    return audible_excess(x_adv - WAVE, threshold)


def excess(x_adv):
    return _excess(x_adv, threshold())


def attacked(attack, y=1, budget=None, f=PLANE, x=WAVE):
    each = jax.jit(lambda key: run(attack, f, x, jnp.int32(y), key, budget))
    return each(jax.random.key(0))


@functools.cache
def found(*num_steps):
    return attacked(build(num_steps=num_steps))


def test_what_it_finds_is_less_audible_than_what_pgd_needs():
    ours = found(100, 200)
    # On a plane PGD's smallest success is the foot in linf, known in closed form.
    eps = 1.001 * 0.2 / np.abs(NORMAL).sum()
    theirs = attacked(pgd(norm="linf", num_steps=20), budget=jnp.float32(eps))
    assert ours.success and theirs.success
    assert excess(ours.x_adv) < 0.1 * excess(theirs.x_adv)
    assert np.linalg.norm(ours.x_adv - WAVE) >= DISTANCE * (1 - 1e-4)
    assert np.abs(ours.x_adv - WAVE).max() <= 2000 / 32768 * (1 + 1e-5)


def test_a_target_is_reached_and_hardly_heard():
    other = GENERATOR.normal(size=NUM_SAMPLES) / np.sqrt(NUM_SAMPLES)
    away = -0.2 - float(np.asarray(WAVE, np.float64) @ other)
    # As steep as networks are: alpha begins where their losses weigh enough.
    weights = 50 * np.stack([0 * NORMAL, NORMAL, other])
    f = linear(weights, [0.0, 50 * OFFSET, 50 * away])
    first, both = (
        attacked(build(num_steps=(100, num), targeted=True), y=2, f=f)
        for num in (1, 700)
    )
    assert both.success and both.logits.argmax() == 2
    assert excess(both.x_adv) < 0.1 * excess(first.x_adv)


def test_the_second_stage_never_ends_louder_than_the_first():
    # Its only pass judges the end of the first stage.
    first = found(100, 1)
    assert first.success
    excesses = [excess(found(100, num).x_adv) for num in (1, 30, 200)]
    assert excesses[0] >= excesses[1] >= excesses[2]
    assert excesses[2] < 0.5 * excesses[0]


def test_the_first_stage_shrinks_the_ball():
    # On a plane the sign of the gradient is the same everywhere, and this one is
    # crossed where all samples have moved by 70 of 32768.
    away = 70 / 32768 * np.abs(NORMAL).sum()
    plane = half_space(NORMAL, OFFSET - 0.2 + away)
    attack = build(num_steps=(100, 1))
    step = jax.jit(functools.partial(attack.step, plane))
    init = jax.jit(functools.partial(attack.init, plane))
    state = init(WAVE, jnp.int32(1), jax.random.key(0), jnp.float32(1))
    seen = []
    for _ in range(32):
        state = step(state)
        size = float(jnp.abs(state.common.x_adv - WAVE).max()) * 32768
        seen.append((round(size), round(float(state.rescale), 4)))
    # Adam's steps have 100. The second pass sees the first step succeed: what was
    # needed is 0.05 of the ball, and 0.8 of that is left. Ten steps later 1100 * 0.04
    # is not enough, after ten more the clipped 2000 * 0.04 is; 2000 * 0.032 is not.
    assert seen[0] == (0, 1)
    assert set(seen[1:21]) == {(100, 0.04)}
    assert set(seen[21:]) == {(80, 0.032)}


def test_an_example_that_is_adversarial_already_is_returned_after_one_pass():
    seen = attacked(build(num_steps=(20, 20)), y=0)
    np.testing.assert_array_equal(seen.x_adv, WAVE)
    assert seen.success and seen.queries == 1


def test_a_success_that_nobody_hears_ends_the_attack():
    # A plane so near that crossing it is below the threshold everywhere.
    near = half_space(NORMAL, OFFSET - 0.2 + 1e-6)
    attack = build(num_steps=(20, 500), learning_rates=(1e-7, 1e-8))
    seen = attacked(attack, f=near)
    assert seen.success and excess(seen.x_adv) == 0
    assert seen.queries < 30


def test_silence_and_bounds_are_kept_and_everything_stays_finite():
    silent = jnp.zeros(NUM_SAMPLES)
    seen = attacked(
        build(num_steps=(30, 30), bounds=(-0.01, 0.02)),
        f=half_space(NORMAL, 0.2), x=silent,
    )  # fmt: skip
    assert seen.success and np.isfinite(seen.x_adv).all()
    assert seen.x_adv.min() >= -0.01 and seen.x_adv.max() <= 0.02


@pytest.mark.parametrize("shape", [(160, 64, 1), (2, 4096)])
def test_what_is_no_waveform_is_refused(shape):
    with pytest.raises(ValueError, match="perturbs waveforms.*stage of the waveform"):
        attacked(build(), f=lambda x: x.ravel()[:2], x=jnp.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": (0, 10)}, "first_num_steps=0"),
        ({"num_steps": (10, 0)}, "second_num_steps=0"),
        ({"learning_rates": (0.1, 0.0)}, "learning_rates=0.0"),
        ({"initial_eps": -1.0}, "initial_eps=-1.0"),
        ({"bounds": (1.0, -1.0)}, "bounds="),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
