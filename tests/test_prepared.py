"""Functions with the part that depends on their arrays alone computed."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.classifier import Classifier, initialise
from advjax.models import ResCNN
from advjax.prepared import prepared
from advjax.representations import REPRESENTATIONS
from advjax.runtime.parallel import data_mesh

X = jnp.arange(3.0)
WEIGHTS = jnp.asarray([[1.0, 2.0, 0.0], [0.5, -1.0, 1.0], [3.0, 0.0, 1.0]])


def _partial(function, *arrays):
    return jax.tree_util.Partial(function, *arrays)


def _operations(function, x) -> list[str]:
    arrays = jax.tree.leaves(function)
    structure = jax.tree.structure(function)
    program = jax.make_jaxpr(lambda a, x: jax.tree.unflatten(structure, a)(x))
    return [each.primitive.name for each in program(arrays, x).eqns]


def test_what_depends_on_arrays_alone_is_computed_once():
    function = _partial(lambda w, x: (w @ w.T + 1) @ x, WEIGHTS)
    ready = prepared(function, X)
    np.testing.assert_allclose(ready(X), function(X), rtol=1e-6)
    assert _operations(ready, X) == ["dot_general"]
    (computed,) = jax.tree.leaves(ready)
    np.testing.assert_allclose(computed, WEIGHTS @ WEIGHTS.T + 1, rtol=1e-6)


@jax.custom_vjp
def _scaled(w, x):
    return jnp.exp(w) * x


_scaled.defvjp(lambda w, x: (_scaled(w, x), w), lambda w, bar: (bar, bar))


def test_calls_of_functions_are_divided_too():
    inner = jax.jit(lambda w, x: _scaled(w, jnp.sin(x)))
    ready = prepared(_partial(inner, WEIGHTS[0]), X)
    assert "exp" not in str(jax.make_jaxpr(ready)(X))
    np.testing.assert_allclose(ready(X), jnp.exp(WEIGHTS[0]) * jnp.sin(X), rtol=1e-6)


def test_no_array_is_larger_than_the_weights_that_it_repeats():
    function = _partial(lambda w, x: jnp.tile(w + 1, 5_000).sum() * x, X)
    ready = prepared(function, X)
    assert [leaf.shape for leaf in jax.tree.leaves(ready)] == [()]
    tiled = _partial(lambda w, x: (jnp.tile(w + 1, (5_000, 1)) * x[None]).sum(0), X)
    ready = prepared(tiled, X)
    assert [leaf.shape for leaf in jax.tree.leaves(ready)] == [(1, 3)]
    np.testing.assert_allclose(ready(X), 5_000 * (X + 1) * X)


def test_constants_and_outputs_that_ignore_the_example():
    table = np.arange(6.0, dtype=np.float32)
    ready = prepared(_partial(lambda w, x: w[0, 0] * jnp.asarray(table), WEIGHTS), X)
    np.testing.assert_allclose(ready(X), WEIGHTS[0, 0] * table)


def test_effects_stay_in_every_call():
    seen = []

    def function(w, x):
        jax.debug.callback(lambda total: seen.append(float(total)), w.sum())
        return w @ x

    ready = jax.jit(prepared(_partial(function, WEIGHTS), X))
    jax.block_until_ready([ready(X), ready(2 * X)])
    jax.effects_barrier()
    assert seen == [float(WEIGHTS.sum())] * 2


def test_a_batch_goes_through_the_rest():
    function = _partial(lambda w, x: jnp.tanh(w.T) @ x, WEIGHTS)
    rows = jnp.stack([X, 2 * X])
    found = jax.jit(jax.vmap(prepared(function, X)))(rows)
    np.testing.assert_allclose(found, rows @ jnp.tanh(WEIGHTS), rtol=1e-6)


def test_functions_without_arrays_and_prepared_ones_stay_as_they_are():
    def plain(x):
        return x + 1

    assert prepared(plain, X) is plain
    ready = prepared(_partial(lambda w, x: w @ x, WEIGHTS), X)
    assert prepared(ready, X) is ready


def test_the_last_result_is_kept_while_its_arrays_live():
    def function(w, x):
        return jnp.exp(w) @ x

    first, second = WEIGHTS + 1, WEIGHTS + 2
    ready = prepared(_partial(function, first), X)
    assert prepared(_partial(function, first), X) is ready
    other = prepared(_partial(function, second), X)
    assert other is not ready
    np.testing.assert_allclose(other(X), jnp.exp(second) @ X, rtol=1e-6)
    computed = weakref.ref(jax.tree.leaves(other)[0])
    del ready, other, first, second
    gc.collect()
    assert computed() is None


def test_arrays_that_may_change_are_read_anew():
    def function(w, x):
        return (w * 2) @ x

    weights = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(prepared(_partial(function, weights), X)(X), 2 * X)
    weights *= 3
    np.testing.assert_allclose(prepared(_partial(function, weights), X)(X), 6 * X)


def test_shapes_give_shapes():
    shape = jax.ShapeDtypeStruct((3, 3), jnp.float32)
    ready = prepared(_partial(lambda w, x: (w @ w.T)[:2] @ x, shape), X)
    (computed,) = jax.tree.leaves(ready)
    assert isinstance(computed, jax.ShapeDtypeStruct)
    assert jax.eval_shape(ready, X).shape == (2,)


def test_a_mesh_holds_a_copy_on_each_device():
    mesh = data_mesh(jax.devices()[:2])
    ready = prepared(_partial(lambda w, x: (w + 1) @ x, WEIGHTS), X, mesh)
    (computed,) = jax.tree.leaves(ready)
    assert computed.sharding.is_fully_replicated
    assert len(computed.devices()) == mesh.size


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_keeps_its_logits_and_transforms_no_weight(precision):
    representation = REPRESENTATIONS["mfbe"]()
    module = ResCNN(num_classes=4, width=4)
    variables = initialise(module, representation, jax.random.key(0))
    classifier = Classifier(variables, module, representation, tuple("abcd"))
    logits_fn = classifier.logits_fn("mfbe", precision=precision)
    x = jax.random.normal(jax.random.key(1), representation.feature_shape)
    ready = prepared(logits_fn, x)
    np.testing.assert_allclose(
        jax.jit(ready)(x), jax.jit(logits_fn)(x), rtol=1e-4, atol=1e-5
    )
    if precision == "bfloat16":
        kinds = {leaf.dtype for leaf in jax.tree.leaves(ready) if leaf.ndim == 4}
        assert kinds == {jnp.dtype(jnp.bfloat16)}
