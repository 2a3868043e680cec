import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from advjax.callables import UnusableNetwork
from advjax.interop.plain_programs import plain
from advjax.layers.blocks import max_pool
from advjax.models import MODELS
from advjax.runtime import targets
from tests.conformance.test_models import INPUTS, small
from tests.models.shapes import drawn, variable_shapes

pytest.importorskip("openvino")

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(2, 7, 6, 4)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 2, 4, 6)).astype(np.float32)
BY_HEIGHT = RNG.normal(size=(7, 4, 3)).astype(np.float32)
BY_GROUP = RNG.normal(size=(3, 2, 2, 6)).astype(np.float32)


def evaluated(function, x):
    """The function's value by OpenVINO in float32."""
    from advjax.interop.openvino_graph import graph_of
    from advjax.interop.openvino_package import openvino

    given = jax.ShapeDtypeStruct(x.shape, x.dtype)
    with targets.compiling_for("tpu"):
        program = jax.make_jaxpr(plain(function, given))(given)
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(graph_of(program), "CPU", hint)
    return compiled([x])[0]


def same(function, x=MAPS):
    found, expected = evaluated(function, x), np.asarray(function(jnp.asarray(x)))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def convolve(x, kernel, **options):
    layout = ("NHWC", "HWIO", "NHWC")
    options = {"window_strides": (1, 1), "padding": "SAME"} | options
    return lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **options)


def test_convolutions():
    def all_kinds(x):
        kinds = [
            convolve(x, KERNEL),
            convolve(x, KERNEL, window_strides=(2, 1), padding=((0, 2), (1, 0))),
            convolve(x, KERNEL, rhs_dilation=(2, 1)),
            convolve(x, BY_GROUP, feature_group_count=2),
        ]
        return jnp.concatenate([jnp.ravel(each) for each in kinds])

    same(all_kinds)
    along = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    same(
        lambda x: lax.conv_general_dilated(
            x[:, :, 0], along, (2,), "VALID", dimension_numbers=("NTC", "TIO", "NTC")
        )
    )


def test_pooling():
    def all_kinds(x):
        window = (1, 3, 2, 1)
        pads = ((0, 0), (1, 0), (0, 1), (0, 0))
        kinds = [
            max_pool(x, 3, 2, 1),
            jax.vmap(lambda one: max_pool(one[None], 2, 2))(x),
            lax.reduce_window(x, 0.0, lax.add, window, (1, 2, 1, 1), pads),
            lax.reduce_window(x[0], -jnp.inf, lax.max, (2, 1, 1), (2, 1, 1), "VALID"),
        ]
        return jnp.concatenate([jnp.ravel(each) for each in kinds])

    same(all_kinds)


def test_products():
    def all_kinds(x):
        kinds = [
            jnp.einsum("nhwc,ncwk->nwhk", x, jnp.swapaxes(x, 1, 3)[:, :, ::-1]),
            jnp.einsum("nhwc,hcd->ndw", x, BY_HEIGHT),
            jnp.einsum("nhwc,nhwc->n", x, x),
        ]
        return jnp.concatenate([jnp.ravel(each) for each in kinds])

    same(all_kinds)


def test_layouts_and_sums():
    def all_kinds(x):
        first, second = jnp.split(x, [3], axis=1)
        kinds = [
            first[:, ::-1, 1:5:2],
            jnp.transpose(second, (2, 0, 3, 1)),
            x[..., jnp.array([3, 0, 0])],
            x[:, jnp.array([[1], [6]])] - x[:, :, jnp.array([2])][:, :1, None],
            jnp.where(x > 0, x, 2.0),
            jnp.where((x[0] > 0) & ~(x[1] > 1) | (x[0] == x[1]), x[0], x[1]),
            jnp.broadcast_to(x[:, :1, None], (2, 3, 2, 6, 4)),
            jnp.pad(x, ((0, 0), (2, 1), (0, 0), (0, 0))),
            x.max(axis=(1, 3)) - x.min(axis=(1, 3)) + x.mean(axis=(1, 3)),
            (x > 0.5).astype(jnp.float32) + jnp.squeeze(x[:, :1], 1)[:, None],
            x * jnp.arange(6, dtype=jnp.float32)[None, None, :, None],
        ]
        return jnp.concatenate([jnp.ravel(each) for each in kinds])

    same(all_kinds)


def test_functions_of_numbers():
    def all_kinds(x):
        kinds = [
            jnp.exp(-jnp.abs(x)), jnp.log(1 + x * x), jnp.tanh(x), jax.nn.sigmoid(x),
            jnp.sqrt(jnp.square(x) + 1), lax.rsqrt(x**2 + 1), jnp.sign(x) / (2 + x**2),
            jnp.clip(x, 0.0, 1.0), jnp.floor(x), jnp.sin(x) + jnp.cos(x), x**3,
            lax.pow(jnp.abs(x), 1.5 * jnp.ones_like(x)), lax.erf(x), jnp.maximum(x, 0),
            jnp.where(jnp.isfinite(x) & (x != 0) & (x <= 1) & (x >= -1), x, 0.0),
        ]  # fmt: skip
        return jnp.stack(kinds)

    same(all_kinds)


def test_loops():
    def steps(x):
        def step(state, now):
            state = jnp.tanh(state + jax.nn.relu(now))
            return state, (state * 2, now.sum())

        first = lax.scan(step, jnp.zeros((6, 4)), x[0])
        last = lax.scan(step, first[0], x[1], reverse=True)
        return jnp.concatenate(
            [jnp.ravel(each) for each in jax.tree.leaves((first, last))]
        )

    same(steps)


REFUSED = {"dense_mel": "argmax", "guarded": "bitcast", "surf_svm": "bitcast"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_networks(name):
    network = small(name)
    x = RNG.uniform(size=(2, *INPUTS.get(name, (160, 64, 1)))).astype(np.float32)
    variables = drawn(variable_shapes(network, x))

    def logits(x):
        return network.apply(variables, x[None], train=False)[0]

    if name in REFUSED:
        with pytest.raises(UnusableNetwork, match=REFUSED[name]):
            evaluated(jax.vmap(logits), x)
        return
    found, expected = evaluated(jax.vmap(logits), x), jax.jit(jax.vmap(logits))(x)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_an_operation_without_a_translation_is_named():
    with pytest.raises(UnusableNetwork, match="the operation sort"):
        evaluated(lambda x: jnp.sort(x), MAPS)
    with pytest.raises(UnusableNetwork, match="conv_general_dilated of a dilated inp"):
        evaluated(
            lambda x: convolve(
                x, KERNEL, lhs_dilation=(2, 2), padding=((1, 1), (1, 1))
            ),
            MAPS,
        )
