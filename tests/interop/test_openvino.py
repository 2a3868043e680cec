import pickle
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import interop
from advjax.attacks import pgd, run
from advjax.interop import openvino
from advjax.representations import Waveform
from advjax.runtime import failures, targets
from advjax.smoothing import count_votes, gaussian

RNG = np.random.default_rng(0)
W = RNG.normal(size=(40, 8)).astype(np.float32)
HEAD = RNG.normal(size=(8, 3)).astype(np.float32)
X = RNG.uniform(-1, 1, (7, 40)).astype(np.float32)

needs_openvino = pytest.mark.skipif(
    not failures._is_installed("openvino"), reason="OpenVINO is not installed"
)


def network(weights, x):
    return jnp.maximum(x @ weights[0], 0) @ weights[1]


def classifier(function=network, **more):
    """A function of 40 samples at 8 kHz as a classifier."""
    return interop.ForeignClassifier(
        network=jax.tree_util.Partial(function, (W, HEAD)),
        representation=Waveform(sample_rate_hz=8_000, num_samples=40),
        labels=("a", "b", "c"),
        order=(2, 0, 1),
        name="mine",
        **more,
    )


@pytest.fixture
def bfloat16():
    """A CPU with bfloat16."""
    if not openvino._has_bfloat16():
        pytest.skip("OpenVINO finds no bfloat16 in this CPU")


@needs_openvino
def test_logits_and_votes_in_float32_are_those_of_jax():
    ours = classifier()
    found = interop.through_openvino(ours, batch=4)
    assert (found.labels, found.has_gradients) == (ours.labels, False)
    logits = jax.jit(jax.vmap(found.logits_fn("waveform")))
    # Seven examples are a part of four, and three beside a copy of the last.
    np.testing.assert_allclose(logits(X), jax.vmap(ours.logits)(X), atol=1e-4)
    options = {"noise": gaussian(1.0), "num_samples": 300}
    votes = [
        count_votes(each.logits_fn("waveform"), X[0], jax.random.key(0), **options)
        for each in (ours, found)
    ]
    assert votes[0].tolist() == votes[1].tolist() and votes[0].max() < 300


@needs_openvino
def test_pickles_compile_the_network_again():
    found = interop.through_openvino(classifier(), batch=3)
    again = pickle.loads(pickle.dumps(found.logits_fn("waveform")))
    np.testing.assert_array_equal(
        jax.vmap(again)(X), jax.vmap(found.logits_fn("waveform"))(X)
    )


@needs_openvino
def test_threads_that_call_at_once_get_their_own_rows():
    call = interop.through_openvino(classifier()).network.func.call
    expected, found = [call(np.roll(X, n, axis=0)) for n in range(4)], {}

    def work(number):
        for _ in range(50):
            rows = call(np.roll(X, number, axis=0))
            found.setdefault(number, []).append(rows)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for number, rows in found.items():
        assert np.all(np.stack(rows) == expected[number])


@needs_openvino
def test_bfloat16_is_another_function_near_by(bfloat16):
    ours = classifier()
    found = interop.through_openvino(ours, precision="bfloat16")
    exact = np.asarray(jax.vmap(ours.logits)(X))
    rounded = np.asarray(jax.vmap(found.logits_fn("waveform"))(X))
    difference = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert 1e-5 < difference < 0.02
    assert found.digest() != interop.through_openvino(ours).digest()


@needs_openvino
def test_what_it_cannot_evaluate_is_refused_in_a_line(monkeypatch):
    with pytest.raises(ValueError, match="^mine is a black box"):
        interop.through_openvino(classifier(has_gradients=False))
    with pytest.raises(
        ValueError, match="^mine cannot be .* operation sort, which .* leave it out"
    ):
        interop.through_openvino(classifier(lambda w, x: jnp.sort(x)[:3]))
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        openvino.check("tf32")
    with targets.compiling_for("gpu"), pytest.raises(ValueError, match="is for CPUs"):
        openvino.check("float32")
    monkeypatch.setattr(openvino, "_has_bfloat16", lambda: False)
    with pytest.raises(ValueError, match="give float32"):
        openvino.check("bfloat16")
    openvino.check("float32")


@needs_openvino
def test_attacks_by_gradients_are_refused():
    found = interop.through_openvino(classifier())
    attack = pgd(bounds=(-1.0, 1.0))
    with pytest.raises(ValueError, match="^mine in OpenVINO is a black box.*nes"):
        run(attack, found.logits_fn("waveform"), X[0], 0, jax.random.key(0), 0.1)


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(failures, "_is_installed", lambda module: False)
    with pytest.raises(ImportError, match=r'pip install "advjax\[openvino\]"'):
        interop.through_openvino(classifier())
