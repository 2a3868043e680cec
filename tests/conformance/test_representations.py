"""Every representation keeps the contract of `Representation`."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.representations import REPRESENTATIONS, definition, from_definition, probe

ALL = pytest.mark.parametrize(
    "rep", [cls() for cls in REPRESENTATIONS.values()], ids=list(REPRESENTATIONS)
)


@functools.cache
def noise():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(0, 0.1, 25_800), jnp.float32)


@pytest.fixture(scope="module")
def wave():
    return noise()


@functools.cache
def features_of(rep):
    """The features of the module's wave."""
    return jax.jit(rep.apply)(noise())


@ALL
def test_shape_and_type(rep):
    features = features_of(rep)
    assert features.shape == rep.feature_shape
    assert features.dtype == jnp.float32


@pytest.mark.slow
@ALL
def test_jit_equals_eager(rep, wave):
    np.testing.assert_allclose(features_of(rep), rep.apply(wave), atol=1e-4)


@functools.cache
def gradient(rep):
    """Of the features' weighted sum, compiled once for all waves and weights."""

    def loss(x, weights):
        return jnp.sum(weights * rep.apply(x))

    return jax.jit(jax.grad(loss))


@ALL
@pytest.mark.parametrize("level", [0.0, 1e-6])
def test_gradient_is_finite_at_and_near_silence(rep, wave, level):
    weights = jax.random.normal(jax.random.key(0), rep.feature_shape)
    assert np.isfinite(gradient(rep)(level * wave, weights)).all()


@ALL
def test_one_silent_half_keeps_the_gradient_finite(rep, wave):
    half = wave.at[12_900:].set(0.0)
    # That of the sum of squares.
    assert np.isfinite(gradient(rep)(half, 2 * jax.jit(rep.apply)(half))).all()


@ALL
def test_values_lie_in_bounds(rep):
    low, high = rep.bounds
    features = np.asarray(features_of(rep))
    assert features.min() >= low - 1e-5
    assert features.max() <= high + 1e-5


@ALL
def test_equal_after_json_with_equal_hash_and_probe(rep):
    again = from_definition(json.loads(json.dumps(definition(rep))))
    assert again == rep
    assert hash(again) == hash(rep)
    np.testing.assert_array_equal(probe(again), probe(rep))


@ALL
def test_every_stage_leads_to_the_same_features(rep, wave):
    @jax.jit
    def by_every_stage(wave):
        found = []
        for stage in rep.chain():
            x = stage.apply(wave)
            for link in rep.after(stage.name):
                x = link.step(x)
            found.append(x)
        return found

    for x in by_every_stage(wave):
        np.testing.assert_allclose(x, features_of(rep), atol=1e-5)


@ALL
def test_inverse_returns_the_source_or_says_there_is_none(rep, wave):
    if rep.source is None:
        return
    reference = jax.jit(rep.source.apply)(wave)
    there_and_back = jax.jit(lambda x: rep.inverse(rep.step(x), reference=x))
    try:
        back = there_and_back(reference)
    except ValueError as error:
        assert rep.name in str(error)  # noqa: PT017  the promise is the message
        return
    np.testing.assert_allclose(back, reference, atol=1e-3)
