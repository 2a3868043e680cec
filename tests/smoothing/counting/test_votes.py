import functools
import resource

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from advjax import smoothing
from advjax.runtime import parallel
from advjax.smoothing import (
    Noise,
    Placement,
    default_tile,
    fitting_tile,
    gaussian,
)
from advjax.smoothing.counting import memory
from advjax.smoothing.counting.votes import queue_votes, read_late
from tests.problems import half_space, linear

KEY = jax.random.key(7)
NOISE = gaussian(0.5)


def count_votes(*arguments, tile, chunk=None, mesh=None, **options):
    placement = Placement(tile, chunk, mesh)
    return smoothing.count_votes(*arguments, placement=placement, **options)


class SmallNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), (2, 2))(x))
        return nn.Dense(5)(x.mean((-3, -2)))


@functools.cache
def small_net():
    net, x = SmallNet(), an_image()
    variables = net.init(jax.random.key(0), x[None])
    copies = jax.vmap(NOISE.sample, (0, None))(jax.random.split(KEY, 64), x)
    # Centred over noise, so that several classes win.
    centre = net.apply(variables, copies).mean(axis=0)
    return jax.tree_util.Partial(_apply, net.apply, variables, centre)


def an_image():
    return jax.random.normal(jax.random.key(1), (8, 8, 1))


def _apply(apply, variables, centre, x):
    return apply(variables, x[None])[0] - centre


@functools.cache
def net_votes(**options):
    settings = {"noise": NOISE, "num_samples": 395, "tile": 10, "chunk": 7} | options
    return count_votes(small_net(), an_image(), KEY, **settings)


def plain_loop(logits_fn, x, num_samples, tile):
    """The contract, spelled out: copy i is draw i % tile of tile i // tile."""
    counts = {}
    for copy in range(num_samples):
        keys = jax.random.split(jax.random.fold_in(KEY, copy // tile), tile)
        winner = int(logits_fn(NOISE.sample(keys[copy % tile], x)).argmax())
        counts[winner] = counts.get(winner, 0) + 1
    return counts


def test_votes_are_those_of_a_plain_loop():
    logits_fn = linear([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [0.0, 0.1, 0.2])
    x = jnp.array([0.2, 0.1])
    votes = count_votes(
        logits_fn, x, KEY, noise=NOISE, num_samples=53, tile=10, chunk=2
    )
    expected = plain_loop(logits_fn, x, 53, 10)
    assert dict(enumerate(votes)) == expected
    assert min(expected.values()) >= 5


def test_votes_do_not_depend_on_the_chunk():
    reference = net_votes()
    assert reference.sum() == 395
    assert (reference > 0).sum() >= 2, "one class only: the test would prove nothing"
    for chunk in (1, 3, 40):
        np.testing.assert_array_equal(net_votes(chunk=chunk), reference)


@pytest.mark.parametrize("chunk", [1, 3, 40])
@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_votes_do_not_depend_on_the_devices(num_devices, chunk):
    if jax.device_count() < num_devices:
        pytest.skip(f"needs {num_devices} devices, this process has fewer")
    mesh = parallel.data_mesh(jax.devices()[:num_devices])
    np.testing.assert_array_equal(net_votes(chunk=chunk, mesh=mesh), net_votes())


@pytest.mark.parametrize("resume_at", [1, 10, 17, 200, 394])
def test_votes_do_not_depend_on_the_resume_point(resume_at):
    before = net_votes(num_samples=resume_at)
    after = net_votes(num_samples=395 - resume_at, first=resume_at)
    assert before.sum() == resume_at
    np.testing.assert_array_equal(before + after, net_votes())


def test_votes_depend_on_the_key_and_the_tile():
    # What the tests above would also pass with: noise that never changes.
    options = {"noise": NOISE, "num_samples": 395, "tile": 10}
    other_key = count_votes(small_net(), an_image(), jax.random.key(8), **options)
    assert (other_key != net_votes()).any()
    assert (net_votes(tile=13) != net_votes()).any()


def test_a_device_loop_inside_the_classifier_is_welcome():
    # A scan with constant initial values fails under shard_map's replication check.
    def recurrent(x):
        last, _ = jax.lax.scan(lambda s, v: (0.5 * s + v, None), jnp.zeros(()), x)
        return jnp.stack([last, -last])

    mesh = parallel.data_mesh(jax.devices()[:1])
    x, options = jnp.ones(4), {"noise": NOISE, "num_samples": 100, "tile": 10}
    np.testing.assert_array_equal(
        count_votes(recurrent, x, KEY, mesh=mesh, **options),
        count_votes(recurrent, x, KEY, **options),
    )


def test_one_trace_serves_all_weights_sigmas_ranges_and_chunks():
    traces = []

    def logits(weights, x):
        traces.append(x.shape)
        return weights * x

    def votes(weights, sigma, num_samples, **options):
        return count_votes(
            jax.tree_util.Partial(logits, weights),
            jnp.array([0.3, 0.1]),
            KEY,
            noise=gaussian(sigma),
            num_samples=num_samples,
            tile=10,
            **options,
        )

    first = votes(jnp.array([1.0, 1.0]), 0.5, 100)
    num_traces = len(traces)
    assert num_traces > 0
    other_weights = votes(jnp.array([1.0, 50.0]), 0.5, 100)
    other_sigma = votes(jnp.array([1.0, 1.0]), 0.01, 100)
    votes(jnp.array([1.0, 1.0]), 0.5, 1234, chunk=3, first=57)
    assert len(traces) == num_traces
    # Traced, not baked in: each changes the votes.
    assert (other_weights != first).any()
    assert (other_sigma != first).any()


def test_a_plain_function_is_traced_once():
    traces = []

    def logits(x):
        traces.append(x.shape)
        return jnp.stack([x.sum(), jnp.zeros(())])

    for seed in range(3):
        key = jax.random.key(seed)
        count_votes(logits, jnp.ones(2), key, noise=NOISE, num_samples=30, tile=10)
        once = len(traces) if seed == 0 else once
        assert len(traces) == once > 0


class Doubled:
    """A pytree with a method, as a Classifier is."""

    def __init__(self, weights):
        self.weights = weights

    def logits(self, x, scale=1.0):
        return scale * (self.weights @ x)


jax.tree_util.register_pytree_node(
    Doubled, lambda d: ((d.weights,), None), lambda _, leaves: Doubled(*leaves)
)


@pytest.mark.parametrize(
    "bind",
    [
        lambda w: Doubled(w).logits,
        lambda w: functools.partial(Doubled(w).logits, scale=2.0),
        lambda w: functools.partial(lambda weights, x: weights @ x, w),
        lambda w: lambda x: w @ x,
        lambda w: linear(w, jnp.zeros(3)),
    ],
    ids=["method", "partial of method", "partial", "lambda", "Partial"],
)
def test_every_way_to_write_a_classifier_votes_alike(bind):
    weights = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    options = {"noise": NOISE, "num_samples": 200, "tile": 20}
    x = jnp.array([0.2, 0.1])
    votes = count_votes(bind(weights), x, KEY, **options)
    expected = count_votes(linear(weights, jnp.zeros(3)), x, KEY, **options)
    np.testing.assert_array_equal(votes, expected)
    # Other weights must not meet a program that remembers these.
    flipped = count_votes(bind(weights[::-1]), x, KEY, **options)
    np.testing.assert_array_equal(flipped, expected[::-1])


def test_an_nnx_module_trained_further_is_counted_anew():
    class Scorer(nnx.Module):
        def __init__(self):
            self.weights = nnx.Param(jnp.array([[9.0, 0.0], [0.0, 0.0]]))

        def __call__(self, x):
            return self.weights[...] @ x

    model, x = Scorer(), jnp.array([1.0, 0.0])
    for function in (model, model.__call__, functools.partial(model.__call__)):
        options = {"noise": gaussian(0.1), "num_samples": 50, "tile": 10}
        model.weights[...] = jnp.array([[9.0, 0.0], [0.0, 0.0]])
        np.testing.assert_array_equal(count_votes(function, x, KEY, **options), [50, 0])
        model.weights[...] = jnp.array([[0.0, 0.0], [9.0, 0.0]])
        np.testing.assert_array_equal(count_votes(function, x, KEY, **options), [0, 50])


def test_noise_of_a_users_own():
    still = Noise(lambda key, x: x, None, "l2")
    x = np.array([1.0, 0.0], np.float32)
    votes = count_votes(
        half_space([1.0, 0.0]), x, KEY, noise=still, num_samples=30, tile=20
    )
    np.testing.assert_array_equal(votes, [0, 30])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_copy_without_finite_logits_votes_for_no_class(bad):
    def logits(x):
        return jnp.stack([jnp.where(x[0] > 0, bad, 0.0), 1.0 + 0 * x[0]])

    votes = count_votes(
        logits, jnp.zeros(1), KEY, noise=NOISE, num_samples=1000, tile=20
    )
    assert votes[0] == 0
    assert 400 < votes[1] < 600


def test_a_logit_of_minus_infinity_may_lose():
    votes = count_votes(
        lambda x: jnp.stack([-jnp.inf, x[0]]),
        jnp.zeros(1),
        KEY,
        noise=NOISE,
        num_samples=40,
        tile=20,
    )
    np.testing.assert_array_equal(votes, [0, 40])


def test_parts_add_up_to_all_copies():
    options = {"first": 5, "num_samples": 300}
    total = net_votes(chunk=9, **options)
    queued = queue_votes(
        small_net(), an_image(), KEY, noise=NOISE, placement=Placement(10, 9), **options
    )
    seen = [(stop, votes) for _, votes, stop in read_late((None, p) for p in queued)]
    # Tiles 0..30 in dispatches of nine; the first starts at copy 5.
    assert [stop for stop, _ in seen] == [90, 180, 270, 305]
    np.testing.assert_array_equal(sum(votes for _, votes in seen), total)
    rest = net_votes(first=180, num_samples=125)
    np.testing.assert_array_equal(seen[0][1] + seen[1][1] + rest, total)


def test_default_tile_suits_the_backend():
    assert default_tile() == (20 if jax.default_backend() == "cpu" else 1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples"),
        ({"tile": 0}, "tile"),
        ({"chunk": 0}, "chunk"),
        ({"first": -1}, "first"),
        ({"num_samples": 2**31 - 5}, "int32"),
        ({"x": jnp.array([1.0, jnp.nan])}, "NaN"),
        ({"x": jnp.array([1.0, -jnp.inf])}, "NaN or infinity"),
        ({"logits_fn": lambda x: x.sum()}, "one row"),
        ({"logits_fn": lambda x: x[None]}, "one row"),
        ({"logits_fn": lambda x: jnp.argmax(x)[None]}, "floating logits"),
    ],
)
def test_impossible_requests_are_refused(options, message):
    settings = {
        "logits_fn": half_space([1.0, 0.0]),
        "x": jnp.zeros(2),
        "key": KEY,
        "noise": NOISE,
        "num_samples": 10,
        "tile": 10,
    }
    with pytest.raises(ValueError, match=message):
        count_votes(**settings | options)


def test_integers_are_refused():
    # Under test the annotation refuses them first; a user meets the message.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match="convert the example to float32"):
            count_votes(
                half_space([1.0, 0.0]),
                jnp.array([1, 2]),
                KEY,
                noise=NOISE,
                num_samples=10,
                tile=10,
            )
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_a_tile_too_large_says_so():
    # 2e9 copies of 1e6 floats are 8 PB: no allocator promises that.
    with pytest.raises(MemoryError, match="smaller tile"):
        count_votes(
            lambda x: jnp.stack([jnp.sort(x)[5], x[0]]),
            jnp.zeros(10**6),
            KEY,
            noise=NOISE,
            num_samples=10,
            tile=2 * 10**9,
        )


def wide(x):
    # XLA sorts each copy in memory of its own: 400 kB a copy and more.
    return jnp.stack([jnp.sort(x)[5], x[0]])


def test_a_tile_is_halved_until_its_program_fits(monkeypatch):
    x = jnp.zeros(10**5)
    assert fitting_tile(wide, x, noise=NOISE, tile=20) == 20
    monkeypatch.setattr(memory, "free_memory", lambda mesh: 5e6)
    tile = fitting_tile(wide, x, noise=NOISE, tile=64)
    assert tile in (1, 2, 4, 8)
    monkeypatch.setattr(memory, "free_memory", lambda mesh: 10e6)
    assert tile < fitting_tile(wide, x, noise=NOISE, tile=64) < 64
    monkeypatch.setattr(memory, "free_memory", lambda mesh: 1e5)
    with pytest.raises(MemoryError, match="not even one"):
        fitting_tile(wide, x, noise=NOISE, tile=64)


def test_a_tile_that_fails_to_allocate_is_halved(monkeypatch):
    # What a device says of its memory is not always so.
    refusals = iter(["RESOURCE_EXHAUSTED: out of memory"] * 3)
    memory_of = memory.program_memory

    def refuse_three_times(compiled):
        for message in refusals:
            raise jax.errors.JaxRuntimeError(message)
        return memory_of(compiled)

    monkeypatch.setattr(memory, "program_memory", refuse_three_times)
    assert fitting_tile(wide, jnp.zeros(100), noise=NOISE, tile=64) == 8


@pytest.mark.slow
def test_ten_million_votes_continue_one_another_in_constant_memory():
    """n = 10,000,000 on one input, as a whole and in ten parts."""
    logits_fn, x, num = half_space([1.0, 0.0], 0.3), jnp.zeros(2), 10**7
    options = {"noise": NOISE, "placement": Placement(1000, 100)}
    used, whole = [], 0
    queued = queue_votes(logits_fn, x, KEY, num_samples=num, **options)
    for _, votes, _ in read_late((None, part) for part in queued):
        whole = whole + votes
        used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    parts = [
        smoothing.count_votes(
            logits_fn, x, KEY, first=first, num_samples=10**6, **options
        )
        for first in range(0, num, 10**6)
    ]
    np.testing.assert_array_equal(np.sum(parts, axis=0), whole)
    assert whole.sum() == num
    # Class 1 wins with probability Phi(0.3 / 0.5).
    assert stats.binomtest(int(whole[1]), num, stats.norm.cdf(0.6)).pvalue > 1e-3
    # Kilobytes on Linux: nothing is kept of votes that are counted.
    assert used[-1] - used[0] < 20_000
