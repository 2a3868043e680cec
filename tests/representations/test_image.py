import dataclasses

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import PIL.Image
import pytest
import scipy.ndimage

from advjax.representations import Chroma, Image, Magnitude, Stacked, Waveform

SHORT = Waveform(num_samples=4000)
SOURCE = Magnitude(source=SHORT)  # [24, 257, 1]


def magnitudes(seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(-3, 4, SOURCE.feature_shape)).astype(np.float32)


def test_levels_are_those_of_librosa():
    x = magnitudes()
    image = Image(source=SOURCE, frames=24, bins=257)
    # Without the axis of channels: librosa 1.0 takes the last two for the image.
    levels = librosa.amplitude_to_db(x[..., 0], ref=np.max, top_db=80.0, amin=1e-12)
    assert levels.min() == pytest.approx(-80)
    got = image.step(jnp.asarray(x))[..., 0]
    np.testing.assert_allclose(got, levels / 80 + 1, atol=1e-5)


def test_without_decibels_only_the_range_changes():
    x = magnitudes()
    image = Image(source=SOURCE, frames=24, bins=257, decibels=False)
    stretched = (x - x.min()) / (x.max() - x.min())
    np.testing.assert_allclose(image.step(jnp.asarray(x)), stretched, atol=1e-6)


def test_a_greater_image_is_bilinear():
    x = magnitudes()
    whole = Image(source=SOURCE, frames=24, bins=257).step(jnp.asarray(x))[..., 0]
    # Pixels are areas: the middle of the first of 100 lies early in the first of 24.
    rows, columns = (
        (np.arange(n) + 0.5) * m / n - 0.5 for n, m in [(100, 24), (600, 257)]
    )
    judge = scipy.ndimage.map_coordinates(
        np.asarray(whole, np.float64),
        np.meshgrid(rows, columns, indexing="ij"),
        order=1,
        mode="nearest",
    )
    ours = Image(source=SOURCE, frames=100, bins=600).step(jnp.asarray(x))
    np.testing.assert_allclose(ours[..., 0], judge, atol=1e-5)


def test_a_smaller_image_leaves_nothing_out():
    x = magnitudes()
    whole = Image(source=SOURCE, frames=24, bins=257).step(jnp.asarray(x))[..., 0]
    judge = PIL.Image.fromarray(np.asarray(whole)).resize(
        (30, 7), PIL.Image.Resampling.BILINEAR
    )
    ours = Image(source=SOURCE, frames=7, bins=30).step(jnp.asarray(x))
    np.testing.assert_allclose(ours[..., 0], np.asarray(judge), atol=1e-5)


def test_a_louder_clip_is_the_same_image():
    image = Image(source=SOURCE, frames=30, bins=40)
    x = jnp.asarray(magnitudes())
    np.testing.assert_allclose(image.step(4 * x), image.step(x), atol=1e-5)


@pytest.mark.parametrize("decibels", [True, False])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_is_black_with_a_finite_gradient(decibels, value):
    image = Image(source=SOURCE, frames=30, bins=40, decibels=decibels)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(30, 40, 1)), "float32")
    x = jnp.full(SOURCE.feature_shape, value)
    features, pull = jax.vjp(image.step, x)
    assert not features.any()
    assert np.isfinite(pull(weights)[0]).all()


def test_stacked_is_one_beside_the_other():
    first = Image(source=SOURCE, frames=20, bins=30)
    second = Image(source=SOURCE, frames=20, bins=11, decibels=False)
    both = Stacked(source=SHORT, first=first, second=second)
    wave = jnp.asarray(np.random.default_rng(0).normal(0, 0.1, 4000), jnp.float32)
    features = both.apply(wave)
    assert features.shape == (20, 41, 1)
    np.testing.assert_array_equal(features[:, :30], first.apply(wave))
    np.testing.assert_array_equal(features[:, 30:], second.apply(wave))
    assert [member.name for member in both.chain()] == ["waveform", "stacked"]


def test_stacked_bounds_hold_for_both():
    chroma = Chroma(source=SOURCE)
    both = Stacked(source=SHORT, first=SOURCE, second=chroma)
    assert both.bounds == (0.0, float("inf"))


def test_what_cannot_be_stacked_is_refused():
    image = Image(source=SOURCE, frames=20, bins=30)
    with pytest.raises(ValueError, match="the same waveform"):
        Stacked(source=Waveform(), first=image, second=image)
    other = dataclasses.replace(image, frames=21)
    with pytest.raises(ValueError, match="cannot be stacked.*as images"):
        Stacked(source=SHORT, first=image, second=other).feature_shape  # noqa: B018
