import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy.signal import correlate

from advjax.layers import fast_convolution
from advjax.layers.convolution import conv2d
from advjax.runtime import targets

# Against outputs of deviation 1. Direct sums in float32 err by some 1e-6; the
# transforms in one direction multiply that by about ten, in both by about thirty.
WAYS = [
    (fast_convolution.conv_along_height, 1e-5),
    (fast_convolution.conv_along_both, 4e-5),
    (fast_convolution.conv_in_pairs, 1e-5),
]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def a_problem(height, width, channels=5, features=3):
    keys = jax.random.split(jax.random.key(height * 100 + width))
    x = jax.random.normal(keys[0], (2, height, width, channels))
    kernel = jax.random.normal(keys[1], (3, 3, channels, features))
    return x, kernel / (9 * channels) ** 0.5


def by_scipy(x, kernel):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.stack(
        [
            [
                correlate(example, kernel[..., feature], mode="valid")[..., 0]
                for feature in range(kernel.shape[-1])
            ]
            for example in padded
        ]
    ).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("conv, tolerance", WAYS)
@pytest.mark.parametrize("sizes", [(8, 4), (1, 1), (3, 9), (10, 4), (5, 6)])
def test_it_is_the_convolution(conv, tolerance, sizes):
    x, kernel = a_problem(*sizes)
    expected = by_scipy(x, kernel)
    np.testing.assert_allclose(jax.jit(conv)(x, kernel), expected, atol=tolerance)


@pytest.mark.parametrize("conv, tolerance", WAYS)
def test_examples_under_vmap_and_in_a_loop_are_the_batch(conv, tolerance):
    x, kernel = a_problem(6, 7)
    each = jax.jit(jax.vmap(lambda example: conv(example[None], kernel)[0]))(x)
    batch = jax.jit(conv)(x, kernel)
    np.testing.assert_allclose(each, batch, atol=tolerance)

    @jax.jit
    def in_a_loop(x):
        return jax.lax.fori_loop(
            0, 2, lambda i, total: total + conv(x, kernel), jnp.zeros((2, 6, 7, 3))
        )

    np.testing.assert_allclose(in_a_loop(x), 2 * batch, atol=2 * tolerance)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(8, 4), (1, 1), (3, 9), (10, 5)])
def test_maps_of_one_channel_are_convolved_as_patches(sizes, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *sizes, 1)).astype(np.float32)
    kernel = rng.normal(0, 0.2, (5, 5, 1, 3)).astype(np.float32)
    padding = tuple(lax.padtype_to_pads(sizes, (5, 5), (stride, stride), "SAME"))
    direct = lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    by_patches = jax.jit(fast_convolution.conv_of_patches, static_argnums=(2, 3))
    found = by_patches(x, kernel, (stride, stride), padding)
    np.testing.assert_allclose(found, direct, atol=1e-5)


def operations(function, *arguments):
    text = jax.jit(function).lower(*arguments).as_text()
    return text.count("stablehlo.convolution"), text.count("stablehlo.dot_general")


@pytest.mark.parametrize(
    "processor, most_direct, along_both", [("avx2", 8, 256), ("avx512", 32, 64)]
)
def test_a_cpu_takes_the_way_that_suits_the_sizes(processor, most_direct, along_both):
    if jax.default_backend() != "cpu":
        pytest.skip("only CPUs have these ways")

    def count(channels, width=8):
        x, kernel = a_problem(8, width, channels, channels)
        return operations(lambda x, kernel: conv2d(x, kernel, 1), x, kernel)

    with targets.choosing_processor(processor):
        assert count(1) == (0, 1)
        assert count(8) == count(8, 32) == count(16, 32) == (1, 0)
        assert count(most_direct) == (1, 0)
        assert count(along_both // 2)[0] == (1 if processor == "avx512" else 6)
        assert count(along_both)[0] == 0 and count(along_both)[1] > 0


def test_a_kernel_too_large_for_the_caches_is_not_transformed_along_both_axes():
    def count(processor, channels):
        shapes = [
            jax.ShapeDtypeStruct((2, 10, 4, channels), np.float32),
            jax.ShapeDtypeStruct((3, 3, channels, channels), np.float32),
        ]
        with targets.choosing_processor(processor):
            return operations(lambda x, kernel: conv2d(x, kernel, 1), *shapes)[0]

    # F(5, 3): a map of ten rows is two groups.
    assert count("avx512", 512) == 7 and count("avx512", 256) == 0
    assert count("avx2", 512) == 0


@pytest.mark.parametrize("outputs", [4, 5])
def test_the_matrices_are_those_of_the_convolution(outputs):
    of_input, of_kernel, of_output = fast_convolution.toom_cook(outputs)
    tensor = np.einsum("om,mk,mi->oki", of_output, of_kernel, of_input)
    for output, tap in np.ndindex(outputs, 3):
        place = np.arange(outputs + 2) == output + tap
        np.testing.assert_allclose(tensor[output, tap], place, atol=1e-6)
    if outputs == 4:  # Lavin and Gray 2016, section 4.3
        assert of_input[1].tolist() == [0, -4, -4, 1, 1, 0]
        assert of_kernel[3] == pytest.approx([1 / 24, 1 / 12, 1 / 6])
        assert of_output[3].tolist() == [0, 1, -1, 8, -8, 1]


@pytest.mark.parametrize("sizes", [(8, 4), (2, 3), (20, 9), (10, 4)])
def test_a_kernel_of_five_rows_and_stride_two_is_one_of_three_row_pairs(sizes):
    keys = jax.random.split(jax.random.key(sum(sizes)))
    x = jax.random.normal(keys[0], (2, *sizes, 5))
    kernel = jax.random.normal(keys[1], (5, 5, 5, 3)) / 125**0.5
    ends = ((1, 2), (1, 2))
    expected = lax.conv_general_dilated(
        x, kernel, (2, 2), ends, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = jax.jit(fast_convolution.conv_of_row_pairs)(x, kernel)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_halving_layer_takes_row_pairs_where_they_are_faster():
    def count(processor, height):
        shapes = [
            jax.ShapeDtypeStruct((2, height, 16, 64), np.float32),
            jax.ShapeDtypeStruct((5, 5, 64, 128), np.float32),
        ]
        with targets.choosing_processor(processor):
            return operations(lambda x, kernel: conv2d(x, kernel, 2), *shapes)[0]

    assert count("avx512", 16) == 6 and count("avx512", 17) == count("avx2", 16) == 1


@pytest.mark.parametrize("processor", targets.PROCESSORS)
def test_a_gradient_goes_the_same_ways(processor):
    def gradient(x, kernel):
        return jax.grad(lambda x: (conv2d(x, kernel, 1) ** 2).sum())(x)

    x, kernel = a_problem(8, 8, 64, 64)
    with targets.choosing_processor(processor):
        convolutions, products = operations(gradient, x, kernel)
    assert (convolutions, products > 0) == {"avx2": (12, 0), "avx512": (0, 1)}[
        processor
    ]


@pytest.mark.parametrize("channels, tolerance", [(16, 1e-5), (256, 4e-5)])
def test_inference_equals_the_pass_of_a_gradient(channels, tolerance):
    x, kernel = a_problem(9, 6, channels, channels)
    inference = jax.jit(lambda x: conv2d(x, kernel, 1))(x)
    in_gradient = jax.jit(lambda x: jax.vjp(lambda x: conv2d(x, kernel, 1), x)[0])(x)
    np.testing.assert_allclose(inference, in_gradient, atol=tolerance)
