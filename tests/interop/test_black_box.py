import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.arguments import num_classes
from advjax.attacks import nes, pgd, run
from advjax.interop.black_box import BlackBox
from advjax.smoothing import count_votes, gaussian

WEIGHTS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def network(calls):
    def call(x):
        calls.append(x.shape)
        return x @ WEIGHTS

    return jax.tree_util.Partial(BlackBox(call, 3, "mine"))


def examples(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_a_batch_reaches_the_host_whole(network, calls):
    x = examples(2, 5, 6)
    found = jax.jit(jax.vmap(jax.vmap(network)))(x)
    np.testing.assert_allclose(found, x @ WEIGHTS, atol=1e-5)
    assert calls == [(10, 6)]
    np.testing.assert_allclose(network(x[0, 0]), x[0, 0] @ WEIGHTS, atol=1e-5)


def test_votes_are_those_of_the_same_function_in_jax(network):
    args = examples(6), jax.random.key(0)
    options = {"noise": gaussian(1.0), "num_samples": 100}
    found = count_votes(network, *args, **options)
    inside = count_votes(lambda x: x @ jnp.asarray(WEIGHTS), *args, **options)
    assert found.tolist() == inside.tolist() and sum(found) == 100


def test_large_batches_pass_without_a_copy_by_the_pool():
    if jax.default_backend() != "cpu":
        pytest.skip("only CPUs have this pool")
    box = BlackBox(lambda x: x[:, :3], 3, "mine")
    x = examples(7, 30_000)
    text = jax.jit(jax.vmap(box)).lower(x).as_text()
    (line,) = [each for each in text.splitlines() if "custom_call" in each]
    assert "xla_buffer_python_cpu_callback" in line and "tensor<7x30000xf32>" in line
    np.testing.assert_array_equal(jax.jit(jax.vmap(box))(x), x[:, :3])


def test_gradients_are_refused_in_words(network):
    x, key = examples(6), jax.random.key(0)
    with pytest.raises(ValueError, match="^mine is a black box.*nes"):
        run(pgd(bounds=(-9.0, 9.0)), network, x, 0, key, 0.1)
    found = run(nes(max_queries=100, bounds=(-9.0, 9.0)), network, x, 0, key, 0.1)
    assert num_classes(network, x) == len(found.logits)
