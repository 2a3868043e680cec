"""VGG13, GCNN and CRNN: published sizes, and the GRU compared with a loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.models import CRNN, GCNN, VGG13
from advjax.models.convnet import ConvStages
from advjax.models.crnn import GRU
from tests.models.shapes import drawn, num_parameters, variable_shapes


@pytest.mark.parametrize(
    ("network", "published"),
    [(VGG13, 9_430_761), (CRNN, 12_600_553), (GCNN, 18_834_601)],
)
def test_full_width_has_the_published_parameters(network, published):
    assert num_parameters(network(num_classes=41), (128, 64)) == published


def test_a_chunk_of_128_frames_ends_as_four_by_two():
    stages = ConvStages(2)
    x = jax.ShapeDtypeStruct((1, 128, 64, 1), jnp.float32)
    variables = variable_shapes(stages, x)
    apply = lambda variables, x: stages.apply(variables, x, train=False)  # noqa: E731
    assert jax.eval_shape(apply, variables, x).shape == (1, 4, 2, 16)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_gru_equals_its_equations(backwards):
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    gru, given = GRU(4, backwards=backwards), jnp.asarray(x)
    params = gru.init(jax.random.key(0), given)["params"]
    params["bias"] = jnp.linspace(-1, 1, 12)
    found = gru.apply({"params": params}, given)

    w, u, b = (
        np.split(np.asarray(params[name], np.float64), 3, axis=-1)
        for name in ("kernel", "recurrent_kernel", "bias")
    )

    def gate(a):
        return np.clip(0.2 * a + 0.5, 0, 1)

    state, expected = np.zeros((2, 4)), np.zeros((2, 5, 4))
    for t in reversed(range(5)) if backwards else range(5):
        z = gate(x[:, t] @ w[0] + state @ u[0] + b[0])
        r = gate(x[:, t] @ w[1] + state @ u[1] + b[1])
        h = np.maximum(x[:, t] @ w[2] + (r * state) @ u[2] + b[2], 0)
        state = z * state + (1 - z) * h
        expected[:, t] = state
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_a_gate_multiplies_what_it_lets_through():
    stages = ConvStages(1, gated=True)
    x = jax.random.normal(jax.random.key(0), (1, 32, 32, 1))
    variables = drawn(variable_shapes(stages, x))
    closed = jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            leaf.at[leaf.shape[0] // 2 :].set(-100.0)
            if "Conv_0" in str(path) and path[-1].key == "bias"
            else leaf
        ),
        variables,
    )
    apply = jax.jit(functools.partial(stages.apply, train=False))
    assert np.abs(apply(variables, x)).max() > 0
    assert np.abs(apply(closed, x)).max() < 1e-6
