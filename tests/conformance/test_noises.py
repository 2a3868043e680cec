"""Every noise distribution keeps the contract of `Noise`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import catalog
from advjax.smoothing import NOISES

NUM_SAMPLES = 3000
# What a caller knows; each distribution takes what it needs.
KNOWN = {"num_samples": NUM_SAMPLES, "sample_rate_hz": 16_000}
SCALES = {"uniform": "half_width", "masked": "factor"}
X = jnp.linspace(-0.5, 0.5, NUM_SAMPLES)


def noise_of(name, scale=0.25):
    return catalog.pick(f"{name}({SCALES.get(name, 'sigma')}={scale})", NOISES, **KNOWN)


@pytest.mark.parametrize("name", NOISES)
def test_draws_are_noisy_copies_that_the_key_decides(name):
    sample = jax.jit(noise_of(name).sample)
    first, again, other = (sample(jax.random.key(k), X) for k in (0, 0, 1))
    assert (first.shape, first.dtype) == (X.shape, X.dtype)
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    assert (np.asarray(first) != X).any()
    assert (np.asarray(first) != other).any()


@pytest.mark.parametrize("name", NOISES)
def test_its_text_is_the_call_that_made_it(name):
    assert repr(noise_of(name)).startswith(f"{name}({SCALES.get(name, 'sigma')}=0.25")
    assert " at 0x" not in repr(noise_of(name))


@pytest.mark.parametrize("name", NOISES)
def test_draws_of_several_are_those_of_one(name):
    sample, keys = noise_of(name).sample, jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(sample, (0, None)))(keys, X)
    alone = jnp.stack([jax.jit(sample)(key, X) for key in keys])
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("name", NOISES)
def test_one_program_serves_every_scale(name):
    traces = []

    @jax.jit
    def noisy(sample, key, x):
        traces.append(x.shape)
        return sample(key, x)

    found = [noisy(noise_of(name, s).sample, jax.random.key(0), X) for s in (0.25, 0.4)]
    assert len(traces) == 1
    assert (np.asarray(found[0]) != found[1]).any()


@pytest.mark.parametrize("name", NOISES)
def test_the_radius_grows_from_zero_with_the_bound(name):
    noise = noise_of(name)
    if noise.radius is None:
        assert noise.norm == "none"
        return
    assert noise.radius(0.1) == noise.radius(0.5) == 0.0
    radii = [noise.radius(p) for p in np.linspace(0.55, 1 - 1e-6, 20)]
    assert all(np.diff(radii) > 0)
    doubled = noise_of(name, 0.5).radius(0.9)
    assert doubled == pytest.approx(2 * noise.radius(0.9), rel=1e-5)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("scale", [0.0, -0.25, 1e-60])
def test_scales_that_are_none_are_refused(name, scale):
    with pytest.raises(ValueError, match="positive"):
        noise_of(name, scale)
