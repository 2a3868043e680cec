import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.representations import (
    Log1pMelMagnitudes,
    LogMel,
    Magnitude,
    MelEnergies,
    MelMagnitudes,
    Tonnetz,
    Waveform,
)
from advjax.representations.lipschitz import lipschitz_bound


def magnitude(num_samples=2000, **options):
    return Magnitude(source=Waveform(num_samples=num_samples), **options)


FRONT_ENDS = {
    "default": magnitude(),
    "hann": magnitude(window="hann", preemphasis=0.0),
    "hamming, odd frames": magnitude(window="hamming", frame_length=401),
    "no overlap": magnitude(frame_length=128, hop=128, num_fft=128, preemphasis=0.0),
    "odd transform": magnitude(frame_length=99, hop=50, num_fft=101),
    "sparse": magnitude(frame_length=100, hop=300, num_fft=128),
}
MEL = MelMagnitudes(source=FRONT_ENDS["default"])
STAGES = FRONT_ENDS | {"mel bands": MEL, "log1p": Log1pMelMagnitudes(source=MEL)}


@functools.partial(jax.jit, static_argnums=(0, 2))
def norm_by_power_iteration(magnitude, key, num_steps=200):
    """A lower bound that grows towards the transform's norm, and the unit move."""

    def transform(wave):
        spectrum = magnitude._spectrum(wave)
        return spectrum.real, spectrum.imag

    start = jax.random.normal(key, (magnitude.chain()[0].num_samples,))
    transpose = jax.linear_transpose(transform, start)

    def step(_, direction):
        (found,) = transpose(transform(direction))
        return found / jnp.linalg.norm(found)

    direction = jax.lax.fori_loop(0, num_steps, step, start / jnp.linalg.norm(start))
    moved = sum(jnp.sum(jnp.square(part)) for part in transform(direction))
    return jnp.sqrt(moved), direction


@pytest.mark.parametrize("name", STAGES)
def test_no_perturbation_moves_a_stage_further_than_its_bound(name):
    stage = STAGES[name]
    bound = lipschitz_bound(stage)
    reached, direction = norm_by_power_iteration(
        stage.stage("magnitude"), jax.random.key(0)
    )
    assert reached <= lipschitz_bound(stage.stage("magnitude")) * (1 + 1e-5)

    @jax.jit
    @jax.vmap
    def ratios(key):
        key_wave, key_size, key_delta = jax.random.split(key, 3)
        wave = 0.1 * jax.random.normal(key_wave, direction.shape)
        size = 10 ** jax.random.uniform(key_size, minval=-3.0, maxval=0.0)
        delta = size * jax.random.normal(key_delta, direction.shape)
        worst = size * direction
        return jnp.stack(
            [
                jnp.linalg.norm(stage.apply(wave + d) - stage.apply(wave))
                / jnp.linalg.norm(d)
                for d in (delta, worst)
            ]
        )

    found = np.concatenate(
        [ratios(keys) for keys in jax.random.split(jax.random.key(1), (20, 50))]
    )
    assert found.shape == (1000, 2)
    assert found.max() <= bound * (1 + 1e-4)


def test_the_constant_is_reached_by_moving_along_the_wave_itself():
    front_end = FRONT_ENDS["default"]
    reached, direction = norm_by_power_iteration(front_end, jax.random.key(0))
    moved = front_end.step(1.1 * direction) - front_end.step(direction)
    assert float(jnp.linalg.norm(moved)) == pytest.approx(
        0.1 * float(reached), rel=1e-3
    )


def test_the_published_front_end_s_bound_is_near_what_is_reached():
    front_end = Magnitude()
    assert (front_end.frame_length, front_end.hop, front_end.num_fft) == (400, 160, 512)
    reached, _ = norm_by_power_iteration(front_end, jax.random.key(0), 500)
    assert 1 <= lipschitz_bound(front_end) / float(reached) < 1.25


def test_without_overlap_the_bound_is_the_constant():
    # Frames of a constant: all of the energy is in a bin without a mirror image.
    assert lipschitz_bound(FRONT_ENDS["no overlap"]) == pytest.approx(np.sqrt(128))
    wave = jnp.ones(3968)
    front_end = magnitude(3968, frame_length=128, hop=128, num_fft=128, preemphasis=0.0)
    moved = jnp.linalg.norm(front_end.step(2 * wave) - front_end.step(wave))
    assert float(moved / jnp.linalg.norm(wave)) == pytest.approx(np.sqrt(128), rel=1e-5)


def test_bands_of_bursts_reach_more_than_half_of_their_bound():
    # A click a frame, as wide in frequency as the widest filter, moved along itself.
    mel = MelMagnitudes(source=magnitude(4000))
    wave = np.zeros(4000, np.float32)
    burst = np.hanning(32) * np.cos(2 * np.pi * 7300 / 16_000 * np.arange(32))
    for start in range(200, 3700, 160):
        wave[start : start + 32] = burst
    wave = jnp.array(wave)
    moved = jnp.linalg.norm(mel.apply(1.1 * wave) - mel.apply(wave))
    assert moved / jnp.linalg.norm(0.1 * wave) > lipschitz_bound(mel) / 2


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (MelEnergies(), "own deviation"),
        (LogMel(), "squares"),
        (Tonnetz(), "no bound has been worked out"),
    ],
)
def test_stages_without_a_bound_say_why(stage, reason):
    with pytest.raises(ValueError, match=f"no radius at {stage.name}.*{reason}"):
        lipschitz_bound(stage)
