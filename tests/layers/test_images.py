import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.layers.images import centre, local_response_norm, scale_size, vectors


def test_scaled_keeps_proportions_and_multiples():
    assert [scale_size(size, 96, 96) for size in (96, 384, 4096)] == [96, 384, 4096]
    assert [scale_size(size, 24, 96, multiple=2) for size in (96, 384)] == [24, 96]
    assert scale_size(256, 10, 96) == 27
    assert scale_size(256, 10, 96, multiple=2) == 26
    assert scale_size(16, 1, 64) == 1


def test_images_are_stretched_to_both_sides_of_0():
    x = jnp.asarray([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1)
    assert centre(x, None).reshape(-1).tolist() == [-1, 0, 1]


def test_resizing_keeps_a_plane_and_reads_every_entry():
    # Bilinear interpolation keeps a plane, except at the edges.
    rows, columns = jnp.meshgrid(jnp.arange(40.0), jnp.arange(30.0), indexing="ij")
    plane = (rows / 100 + columns / 60)[None, ..., None]
    out = centre(plane, 10)[0, 2:-2, 2:-2, 0]
    # Centres of the ten entries, in entries of the plane.
    middle = (np.arange(10) + 0.5)[2:-2]
    rows, columns = middle * 4 - 0.5, middle * 3 - 0.5
    expected = 2 * (rows[:, None] / 100 + columns / 60) - 1
    np.testing.assert_allclose(out, expected, atol=1e-5)
    slopes = jax.grad(lambda x: centre(x, 10).sum())(plane)
    assert (slopes > 0).all()


def test_vectors_are_means_or_all_entries_in_float32():
    x = jnp.arange(12.0, dtype=jnp.bfloat16).reshape(1, 2, 3, 2)
    assert vectors(x, pooled=True).tolist() == [[5, 6]]
    assert vectors(x, pooled=False).tolist() == [list(range(12))]
    assert vectors(x, pooled=True).dtype == jnp.float32


@pytest.mark.parametrize("channels", [1, 4, 9])
def test_local_response_norm_is_the_formula_of_caffe(channels):
    x = 100 * np.random.default_rng(0).normal(size=(2, 3, 2, channels))
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape):
        *rest, channel = place
        near = x[(*rest, slice(max(0, channel - 2), channel + 3))]
        expected[place] = x[place] / (1 + 1e-4 / 5 * (near**2).sum()) ** 0.75
    found = local_response_norm(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
