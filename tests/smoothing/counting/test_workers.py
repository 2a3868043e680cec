"""Votes of processes with a core each, and the ends of these processes."""

import operator
import os
import signal
import sys
import time

import jax
import numpy as np
import pytest

from advjax import smoothing
from advjax.classifier import Classifier, initialise
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS
from advjax.smoothing import Example, Placement, certify_each, count_votes
from advjax.smoothing.counting.workers import CannotBeSent, WorkerEnded, Workers

NOISE = smoothing.gaussian(1.0)
KEY = jax.random.key(3)
X = np.linspace(-1, 1, 8, dtype=np.float32)
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 8))
LOGITS_FN = jax.tree_util.Partial(operator.matmul, WEIGHTS)


@pytest.fixture(scope="module")
def workers():
    with Workers(LOGITS_FN, noise=NOISE, num_workers=2) as workers:
        yield workers


def counts(first=0, num_samples=103, **placement):
    return count_votes(
        LOGITS_FN, X, KEY, noise=NOISE, num_samples=num_samples, first=first,
        placement=Placement(10, **placement),
    )  # fmt: skip


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_two_processes_count_what_one_counts(workers, chunk):
    np.testing.assert_array_equal(counts(chunk=chunk, workers=workers), counts())


def test_a_count_may_be_interrupted_anywhere(workers):
    parts = (
        counts(num_samples=37, workers=workers),
        counts(37, 103 - 37, chunk=2, workers=workers),
    )
    np.testing.assert_array_equal(sum(parts), counts())


def certificates(bound, **placement):
    plan = smoothing.VotePlan(20, 300, 0.01, bound)
    examples = [Example(X * scale, KEY) for scale in (0, 0.3, 1, 3, 10)]
    return dict(
        certify_each(
            LOGITS_FN, examples, noise=NOISE, plan=plan,
            placement=Placement(10, **placement),
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    "bound", [smoothing.ClopperPearson(), smoothing.Sequential((0.1, 0.5))]
)
def test_certificates_are_those_of_one_process(workers, bound):
    found = certificates(bound, chunk=2, workers=workers)
    assert found == certificates(bound)
    assert len({one.num_estimation for one in found.values()}) > 1 or not (
        bound.stops_early
    )


@pytest.fixture
def starting(workers, monkeypatch):
    """Processes that are ready at the third question."""
    answers = iter([False, False])
    monkeypatch.setattr(workers, "are_ready", lambda: next(answers, True))
    asked = []
    for name in ("count_votes", "count_slots"):
        count = getattr(workers, name)
        monkeypatch.setattr(
            workers, name, lambda *a, _c=count, **k: asked.append(1) or _c(*a, **k)
        )
    return workers, asked


def test_this_process_counts_until_they_are_ready(starting):
    workers, asked = starting
    np.testing.assert_array_equal(counts(chunk=1, workers=workers), counts())
    # Of eleven tiles, this process counts two and the others two a dispatch.
    assert len(asked) == 5


@pytest.mark.parametrize(
    "bound", [smoothing.ClopperPearson(), smoothing.Sequential((0.1, 0.5))]
)
def test_certificates_do_not_depend_on_when_they_are_ready(starting, bound):
    workers, asked = starting
    found = certificates(bound, chunk=2, tiles_at_once=1, workers=workers)
    assert asked
    assert found == certificates(bound, tiles_at_once=1)


def test_votes_that_nobody_reads_are_dropped(workers):
    queued = smoothing.counting.votes.queue_votes(
        LOGITS_FN, X, KEY, noise=NOISE, num_samples=50,
        placement=Placement(10, 1, workers=workers),
    )  # fmt: skip
    next(queued)
    np.testing.assert_array_equal(counts(workers=workers), counts())


def test_the_time_and_memory_of_the_processes_are_known(workers):
    counts(workers=workers)
    assert len(workers) == len(workers.usage) == 2
    assert all(one.cpu_s > 0.1 and one.peak_bytes > 2**26 for one in workers.usage)


def test_another_classifier_or_noise_is_refused(workers):
    for logits_fn, noise in ((lambda x: x, NOISE), (LOGITS_FN, smoothing.uniform(1))):
        with pytest.raises(ValueError, match="another logits_fn or noise"):
            count_votes(
                logits_fn, X, KEY, noise=noise, num_samples=5,
                placement=Placement(workers=workers),
            )  # fmt: skip


def test_a_closure_cannot_be_sent():
    with pytest.raises(CannotBeSent, match="functions of modules"):
        Workers(lambda x: WEIGHTS @ x, noise=NOISE, num_workers=2)
    with pytest.raises(ValueError, match="num_workers=0"):
        Workers(LOGITS_FN, noise=NOISE, num_workers=0)


def test_a_module_that_only_this_process_has_cannot_be_sent(monkeypatch):
    module = type(sys)("of_this_process_alone")
    exec("def logits(x): return x", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(CannotBeSent, match="of_this_process_alone"):
        Workers(module.logits, noise=NOISE, num_workers=1)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_their_start_is_not_waited_for():
    # More than the system takes before the other end reads.
    weights = np.zeros((3, 2**21), np.float32)
    logits_fn = jax.tree_util.Partial(operator.matmul, weights)
    with Workers(logits_fn, noise=NOISE, num_workers=2, wait=False) as workers:
        assert not workers.are_ready()
        processes = [process.pid for process in workers._processes]
        assert all(map(is_alive, processes))
    assert not any(map(is_alive, processes))
    assert not workers._sender.is_alive()


def wait_for(happened):
    for _ in range(600):
        if happened():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_count_continues_in_processes_that_start():
    with Workers(LOGITS_FN, noise=NOISE, num_workers=2, wait=False) as workers:
        np.testing.assert_array_equal(counts(workers=workers), counts())
        assert wait_for(workers.are_ready)
        np.testing.assert_array_equal(counts(workers=workers), counts())
        assert all(one.cpu_s > 0.1 for one in workers.usage)


@pytest.mark.slow
def test_this_process_counts_what_they_cannot_import(monkeypatch):
    module = type(sys)("of_this_process_alone")
    exec("def logits(x): return x[:3]", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    options = {"noise": NOISE, "num_samples": 50}
    with Workers(module.logits, noise=NOISE, num_workers=2, wait=False) as workers:
        processes = [process.pid for process in workers._processes]
        assert wait_for(lambda: workers.are_ready() or not is_alive(processes[0]))
        found = count_votes(
            module.logits, X, KEY, placement=Placement(10, workers=workers), **options
        )
    assert not any(map(is_alive, processes))
    expected = count_votes(module.logits, X, KEY, placement=Placement(10), **options)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_one_that_ends_while_it_starts_ends_the_count():
    with Workers(LOGITS_FN, noise=NOISE, num_workers=2, wait=False) as workers:
        os.kill(workers._processes[0].pid, signal.SIGKILL)
        with pytest.raises(WorkerEnded, match="signal 9"):
            wait_for(workers.are_ready)


def test_a_killed_process_ends_the_count_in_one_line():
    with Workers(LOGITS_FN, noise=NOISE, num_workers=2) as workers:
        first, second = (process.pid for process in workers._processes)
        os.kill(second, signal.SIGKILL)
        with pytest.raises(WorkerEnded, match="signal 9.*same command continues"):
            counts(workers=workers)
            counts(workers=workers)
    assert not is_alive(first) and not is_alive(second)


@pytest.mark.slow
def test_a_convolutional_network_votes_as_in_one_process():
    module = MODELS["rescnn"](num_classes=4, width=8)
    front_end = FRONT_ENDS["mfbe"]()
    variables = initialise(module, front_end, jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), front_end.feature_shape)
    # Classes that win in turn: the mean of the logits is taken away.
    noisy = x[None] + jax.random.normal(jax.random.key(2), (20, *x.shape))
    mean = module.apply(variables, noisy, train=False).mean(axis=0)
    variables = jax.tree.map(
        lambda leaf: leaf - mean if leaf.shape == (4,) else leaf, variables
    )
    classifier = Classifier(variables, module, front_end, tuple("abcd"))
    logits_fn = classifier.logits_fn("mfbe")
    options = {"noise": NOISE, "num_samples": 515}
    alone = count_votes(logits_fn, x, KEY, placement=Placement(20), **options)
    with Workers(logits_fn, noise=NOISE, num_workers=2) as workers:
        placement = Placement(20, 7, workers=workers)
        shared = count_votes(logits_fn, x, KEY, placement=placement, **options)
    assert sorted(alone)[-2] > 0
    np.testing.assert_array_equal(shared, alone)
