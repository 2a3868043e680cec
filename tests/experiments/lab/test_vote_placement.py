import contextlib
import math
import operator
import sys

import jax
import numpy as np
import pytest

from advjax import smoothing
from advjax.runtime import compilation, memory, usage
from advjax.smoothing.counting import workers
from experiments.lab import vote_placement
from experiments.lab.certify_settings import Certification

NOISE = smoothing.gaussian(0.25)
LOGITS_FN = jax.tree_util.Partial(operator.matmul, np.eye(3, dtype=np.float32))
REQUEST = Certification(num_selection=100, num_estimation=900)
EARLY = REQUEST._replace(bound="sequential", radii=(0.1,))


class Started(list):
    """Stands for processes."""

    closed = False

    def __init__(self, logits_fn, noise, num_workers, *, wait):
        super().__init__(range(num_workers))
        assert not wait

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed = True


@pytest.fixture
def machine(monkeypatch):
    """Four cores, on which one process counts 5 votes a second."""
    monkeypatch.setattr(vote_placement.parallel, "num_cores", lambda: 4)
    monkeypatch.setattr(vote_placement, "_votes_per_s", lambda *_, profile=None: 5.0)
    monkeypatch.setattr(vote_placement.workers, "Workers", Started)


def placed(num_points, most_processes=4, request=REQUEST):
    return vote_placement.placed(
        smoothing.Placement(5), most_processes, LOGITS_FN, [None] * num_points,
        jax.random.key(0), NOISE, request,
    )  # fmt: skip


@pytest.mark.parametrize("request_", [REQUEST, EARLY])
def test_processes_count_what_takes_long(machine, capsys, request_):
    with placed(1, request=request_) as placement:
        assert placement.num_devices == 4
        assert placement.chunk == (None if request_ is EARLY else 1)
        assert not placement.workers.closed
    assert placement.workers.closed
    said = capsys.readouterr().err
    assert "workers     4 processes, 1 core each\n" in said
    time = "At most 3 min 20 s (5 votes/s in one process)." in said
    assert time == (request_ is REQUEST)


def test_they_end_with_an_error(machine):
    with contextlib.suppress(RuntimeError), placed(1) as placement:
        raise RuntimeError
    assert placement.workers.closed


@pytest.mark.parametrize("num_points, most", [(0, 4), (1, 1)])
def test_one_process_counts_the_rest(machine, capsys, num_points, most):
    with placed(num_points, most) as placement:
        assert placement.workers is None
    assert "workers" not in capsys.readouterr().err


def test_few_votes_are_not_worth_a_start(machine, monkeypatch):
    # In 10 s; then in 50 s, of which processes save half for a small network alone.
    for rate, most_small, is_shared in ((100, 9, 0), (20, 9, 1), (20, 8, 0)):
        monkeypatch.setattr(
            vote_placement, "_votes_per_s", lambda *_, rate=rate, **__: rate
        )
        monkeypatch.setattr(compilation, "MOST_SMALL", most_small)
        with placed(1) as placement:
            assert (placement.workers is not None) == is_shared
            assert placement.chunk == rate // (20 if is_shared else 5)


def test_one_process_counts_what_others_cannot_import(machine, monkeypatch):
    def refuse(*_, **options):
        raise workers.CannotBeSent

    monkeypatch.setattr(vote_placement.workers, "Workers", refuse)
    with placed(1) as placement:
        assert (placement.workers, placement.chunk) == (None, 1)


def test_a_closure_is_not_shared(machine):
    linux = sys.platform == "linux"
    assert vote_placement.can_share(LOGITS_FN, NOISE) == linux
    assert not vote_placement.can_share(lambda x: x, NOISE)


def test_a_network_of_ours_is_shared(machine):
    from advjax.classifier import Classifier
    from advjax.models import MODELS
    from advjax.representations import FRONT_ENDS

    module = MODELS["rescnn"](num_classes=2, width=1)
    classifier = Classifier({"params": {}}, module, FRONT_ENDS["mfbe"](), ("a", "b"))
    functions = [classifier.logits_fn("mfbe") for _ in range(2)]
    assert functions[0].func == functions[1].func
    assert vote_placement.can_share(functions[0], NOISE) == (sys.platform == "linux")


@pytest.mark.parametrize(
    "cores, free, count",
    [(4, math.inf, 4), (4, 35, 2), (4, 9, 1), (2, 25, 2), (12, 100, 6), (64, 1e9, 8)],
)
def test_there_are_as_many_as_memory_and_cores_hold(monkeypatch, cores, free, count):
    monkeypatch.setattr(vote_placement.parallel, "num_cores", lambda: cores)
    monkeypatch.setattr(memory, "free_host_memory", lambda: free)
    monkeypatch.setattr(usage, "process_peak_bytes", lambda: 10)
    assert vote_placement.num_processes() == count
