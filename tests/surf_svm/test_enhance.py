import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from advjax.surf_svm import enhance as enhancement

enhance, high_boost = (
    jax.jit(function, static_argnames="boost")
    for function in (enhancement.enhance, enhancement.high_boost)
)
stretch = jax.jit(enhancement.stretch, static_argnames="share")
IMAGE = np.random.default_rng(0).random((20, 30)).astype(np.float32)


@pytest.mark.parametrize("boost", [1.0, 1.5, 2.0])
def test_high_boost_is_the_textbooks_kernel(boost):
    kernel = np.full((3, 3), -1 / 9)
    kernel[1, 1] = (9 * boost - 1) / 9
    expected = ndimage.correlate(IMAGE, kernel, mode="nearest")
    np.testing.assert_allclose(high_boost(IMAGE, boost=boost), expected, atol=1e-6)


def test_a_flat_image_has_nothing_to_boost():
    np.testing.assert_allclose(
        high_boost(jnp.full((5, 5), 0.4), boost=1.0), 0, atol=1e-6
    )


def test_stretching_brings_the_ends_to_0_and_1():
    found = stretch(0.3 + 0.2 * IMAGE, share=0.0)
    np.testing.assert_allclose(found, stretch(IMAGE, share=0.0), atol=1e-5)
    assert (found.min(), found.max()) == (0.0, 1.0)
    clipped = np.asarray(stretch(IMAGE, share=0.1))
    assert np.mean(clipped == 0) == pytest.approx(0.1, abs=0.01)
    assert np.mean(clipped == 1) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_an_image_of_one_value_is_black_and_has_finite_gradients(level):
    image = jnp.full((6, 7), level)
    assert (enhance(image) == 0).all()
    gradient = jax.jit(jax.grad(lambda x: enhance(x).sum()))(image)
    assert np.isfinite(gradient).all()


def test_enhanced_images_stay_in_range():
    found = enhance(IMAGE, boost=2.0)
    assert found.min() >= 0 and found.max() <= 1
