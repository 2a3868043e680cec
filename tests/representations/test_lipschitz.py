import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.representations import Magnitude, Waveform
from advjax.representations.lipschitz import (
    lipschitz_bound,
    lipschitz_by_power_iteration,
)


def magnitude(num_samples=4000, **options):
    return Magnitude(source=Waveform(num_samples=num_samples), **options)


FRONT_ENDS = {
    "default": magnitude(),
    "hann": magnitude(window="hann", preemphasis=0.0),
    "hamming, odd frames": magnitude(window="hamming", frame_length=401),
    "no overlap": magnitude(frame_length=128, hop=128, num_fft=128, preemphasis=0.0),
    "odd transform": magnitude(frame_length=99, hop=50, num_fft=101),
    "sparse": magnitude(frame_length=100, hop=300, num_fft=128),
}


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_no_perturbation_moves_magnitudes_further_than_the_bound(name):
    front_end = FRONT_ENDS[name]
    bound = lipschitz_bound(front_end)
    reached, direction = lipschitz_by_power_iteration(front_end, jax.random.key(0))
    assert reached <= bound * (1 + 1e-5)

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
                jnp.linalg.norm(front_end.step(wave + d) - front_end.step(wave))
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
    reached, direction = lipschitz_by_power_iteration(front_end, jax.random.key(0))
    moved = front_end.step(1.1 * direction) - front_end.step(direction)
    assert float(jnp.linalg.norm(moved)) == pytest.approx(
        0.1 * float(reached), rel=1e-3
    )


def test_the_published_front_end_s_bound_is_near_what_is_reached():
    front_end = Magnitude()
    assert (front_end.frame_length, front_end.hop, front_end.num_fft) == (400, 160, 512)
    reached, _ = lipschitz_by_power_iteration(
        front_end, jax.random.key(0), num_steps=500
    )
    assert 1 <= lipschitz_bound(front_end) / float(reached) < 1.25


def test_without_overlap_the_bound_is_the_constant():
    # Frames of a constant: all of the energy is in a bin without a mirror image.
    assert lipschitz_bound(FRONT_ENDS["no overlap"]) == pytest.approx(np.sqrt(128))
    wave = jnp.ones(3968)
    front_end = magnitude(3968, frame_length=128, hop=128, num_fft=128, preemphasis=0.0)
    moved = jnp.linalg.norm(front_end.step(2 * wave) - front_end.step(wave))
    assert float(moved / jnp.linalg.norm(wave)) == pytest.approx(np.sqrt(128), rel=1e-5)
