"""Classifiers that are accepted, and those refused in words, everywhere."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from advjax import attacks, evaluation, smoothing
from advjax.arguments import num_classes
from advjax.attacks.checks import zero_gradient_shares

GENERATOR = np.random.default_rng(0)
W = jnp.asarray(GENERATOR.normal(size=(4, 6)), jnp.float32)
X = GENERATOR.uniform(-0.5, 0.5, (3, 6)).astype(np.float32)
Y = np.asarray((X @ np.asarray(W).T).argmax(-1))
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 3)
NOISE = smoothing.gaussian(0.1)


class Plain:
    def __init__(self):
        self.w = W

    def logits(self, x):
        return self.w @ x

    def __call__(self, x):
        return self.w @ x


@dataclasses.dataclass
class Unhashable:
    """Comparable and so without a hash, as every plain dataclass is."""

    w: jax.Array

    def __call__(self, x):
        return self.w @ x


@jax.tree_util.register_pytree_node_class
class Module:
    """An Equinox module in essence: a pytree with an array as metadata."""

    def __init__(self, w, table):
        self.w, self.table = w, table

    def tree_flatten(self):
        return (self.w,), {"table": self.table}

    @classmethod
    def tree_unflatten(cls, table, children):
        return cls(*children, **table)

    def __call__(self, x):
        return self.w @ x


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


class Single(nnx.Module):
    """One example in, without a batch axis."""

    def __init__(self, network):
        self.network = network

    def __call__(self, x):
        return self.network(x[None])[0]


CALLABLES = {
    "plain function": lambda x: W @ x,
    "jitted": jax.jit(lambda x: W @ x),
    "functools.partial": functools.partial(jnp.dot, W),
    "bound method": Plain().logits,
    "callable object": Plain(),
    "dataclass": Unhashable(W),
    "Partial": jax.tree_util.Partial(lambda w, x: w @ x, W),
    "pytree": Module(W, table=(1, 2)),
    "pytree without a hash": Module(W, table=np.arange(3)),
    "Partial of a dataclass": jax.tree_util.Partial(Unhashable(W)),
}


def everywhere(f):
    """Each public function that takes a classifier, by name."""
    point = [evaluation.Point(0, "a", X[0], int(Y[0]))]
    votes = {"num_selection": 5, "num_estimation": 50, "alpha": 0.01}
    placement = smoothing.Placement(tile=5)

    def plan(bound):
        return smoothing.VotePlan(**votes, bound=smoothing.BOUNDS[bound]((0.01,)))

    example = [smoothing.Example(X[0], KEY)]
    return {
        "certify": lambda: smoothing.certify(
            f, X[0], KEY, noise=NOISE, placement=placement, **votes
        ),
        **{
            f"certify_each, {bound}": lambda bound=bound: list(
                smoothing.certify_each(
                    f, example, noise=NOISE, plan=plan(bound), placement=placement
                )
            )
            for bound in smoothing.BOUNDS
        },
        "predict": lambda: smoothing.predict(
            f, X[0], KEY, noise=NOISE, num_samples=50, alpha=0.01, placement=placement
        ),
        "certify_batch": lambda: smoothing.certify_batch(
            f, X[:1], Y[:1], KEY, noise=NOISE, **votes
        ),
        "fitting_tile": lambda: smoothing.fitting_tile(f, X[0], noise=NOISE, tile=5),
        "certify_shift": lambda: smoothing.certify_shift(f, X[0], max_shift=1),
        "run": lambda: attacks.run(attacks.fgsm(), f, X[0], Y[0], KEY, 0.1),
        "run_batch": lambda: list(
            attacks.run_batch(attacks.fgsm(), f, X, Y, KEYS, 0.1)
        ),
        "logits_of_batch": lambda: evaluation.logits_of_batch(f, X, batch_size=3),
        "zero_gradient_shares": lambda: zero_gradient_shares(f, X, Y, batch_size=3),
        "attack_points": lambda: list(
            evaluation.attack_points(attacks.fgsm(), f, point, KEY, budgets=[0.1])
        ),
        "certify_points": lambda: list(
            evaluation.certify_points(
                f,
                point,
                KEY,
                noise=NOISE,
                plan=plan("clopper_pearson"),
                placement=placement,
            )
        ),
    }


@pytest.mark.slow
def test_a_plain_function_works_everywhere():
    for call in everywhere(CALLABLES["plain function"]).values():
        call()


def test_a_plain_function_certifies_and_is_attacked():
    calls = everywhere(CALLABLES["plain function"])
    for name in ("certify", "run_batch"):
        calls[name]()


@pytest.mark.parametrize("kind", CALLABLES)
def test_any_callable_works(kind):
    assert num_classes(CALLABLES[kind], X[0]) == 4
    found = evaluation.logits_of_batch(CALLABLES[kind], X, batch_size=3)
    np.testing.assert_allclose(found, X @ np.asarray(W).T, rtol=1e-5)


def to_numpy(x):
    return np.asarray(x).sum()


BAD = {
    "a batch axis": (lambda x: (W @ x)[None], r"float32\[1, 4\].*batch axis"),
    "the class": (lambda x: (W @ x).argmax(), "int32.*before the class is chosen"),
    "one number": (lambda x: (W @ x).max(), "one score for each class"),
    "a tuple": (lambda x: (W @ x, x), "tuple of 2: return the logits alone"),
    "integers": (lambda x: (W @ x).astype(jnp.int32), "before the class is chosen"),
    "nothing": (lambda x: None, "None: return the logits"),
    "no class": (lambda x: (W @ x)[:0], "there is no class"),
    "another length": (lambda x: W[:, :5] @ x, r"shape \(6,\), float32.*dot_general"),
    "a batch wanted": (lambda x: x[:, None] @ x[0, :], r"lambda x: net\(x\[None\]\)"),
    "NumPy": (to_numpy, "converts its input to NumPy"),
    "a branch": (lambda x: W @ x if x[0] > 0 else x, "jax.numpy"),
    "not callable": ({"w": W}, "cannot be called"),
}


@pytest.mark.parametrize("kind", BAD)
def test_other_callables_are_refused_in_words(kind):
    f, message = BAD[kind]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        num_classes(f, X[0])


def test_a_batch_axis_is_refused_everywhere():
    for call in everywhere(BAD["a batch axis"][0]).values():
        with pytest.raises(ValueError, match="must turn one example"):
            call()


def test_a_function_is_traced_once_for_many_examples():
    traces = []

    def traced(x):
        traces.append(1)
        return W @ x

    votes = {"num_selection": 5, "num_estimation": 50, "alpha": 0.01}
    # A program for several devices traces it once more.
    for count, placement in ((1, smoothing.Placement()), (2, None)):
        for x in X:
            smoothing.certify(traced, x, KEY, noise=NOISE, placement=placement, **votes)
        assert len(traces) == count


def nnx_in_a_closure():
    network = Network()
    return lambda x: network(x[None])[0]


def linen_mutable():
    variables = Linen().init(jax.random.key(0), X)
    return lambda x: Linen().apply(
        variables, x[None], train=True, mutable=["batch_stats"]
    )


TRAINING_FORMS = {
    "NNX in a Partial": lambda: jax.tree_util.Partial(
        lambda net, x: net(x[None])[0], Network()
    ),
    "NNX module": lambda: Single(Network()),
    "NNX in a closure": nnx_in_a_closure,
    "Linen, mutable": linen_mutable,
    "a counter": lambda: Counter(),
    "a counter in a closure": lambda: functools.partial(Counter().__call__),
    "a counter in a dict": lambda: counted({"n": jnp.float32(0)}),
}


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return nn.BatchNorm(use_running_average=not train)(nn.Dense(4)(x))


class Counter:
    """Adds the number of its calls."""

    def __init__(self):
        self.calls = jnp.float32(0)

    def __call__(self, x):
        self.calls = self.calls + x.max()
        return W @ x + self.calls


def counted(state):
    def logits(x):
        state["n"] = state["n"] + x.max()
        return W @ x * state["n"]

    return logits


@pytest.mark.parametrize("kind", TRAINING_FORMS)
def test_a_network_that_changes_while_it_runs_is_refused(kind):
    f = TRAINING_FORMS[kind]()
    message = "return the logits alone" if "Linen" in kind else "changes while it runs"
    for name in ("certify", "predict", "run", "run_batch"):
        with pytest.raises(ValueError, match=message):
            everywhere(f)[name]()


def test_a_refused_object_is_left_as_it_was():
    counter = Counter()
    with pytest.raises(ValueError, match=r"calls is another"):
        num_classes(counter, X[0])
    assert float(counter.calls) == 0


def test_networks_in_evaluation_mode_pass():
    network = Network()
    network.eval()
    for f in (
        jax.tree_util.Partial(lambda net, x: net(x[None])[0], network),
        Single(network),
        lambda x: network(x[None])[0],
    ):
        assert num_classes(f, X[0]) == 4
    evaluation.logits_of_batch(Single(network), X, batch_size=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"noise": 0.25}, r"noise=0.25 .*gaussian\(0.25\)"),
        ({"key": 0}, r"key=0: give one key.*jax.random.key"),
        ({"key": KEYS}, "give one key"),
        ({"x": X}, "shape"),
        ({"x": X[0, :4]}, r"shape \(4,\)"),
        ({"x": np.arange(6)}, "int64"),
    ],
)
def test_certify_says_what_is_wrong(given, message):
    options = {"x": X[0], "key": KEY, "noise": NOISE, "alpha": 0.01} | given
    for call, votes in (
        (smoothing.certify, {"num_estimation": 50}),
        (smoothing.predict, {"num_samples": 50}),
    ):
        with pytest.raises(ValueError, match=message):
            call(lambda x: W @ x, **options, **votes)


def test_an_abstaining_certificate_says_so():
    abstaining = smoothing.Certificate(smoothing.ABSTAIN, 0.0, 0.4, 50, 100)
    assert abstaining.prediction == -1 and "abstains" in repr(abstaining)
    assert "prediction=2, radius=0.5" in str(smoothing.Certificate(2, 0.5, 0.9, 9, 9))
    assert "abstains" in str(smoothing.Prediction(smoothing.ABSTAIN, 0.4, 50))
