"""Attacks on a ResCNN at mfbe beside the libraries that are installed."""

import importlib.util
from collections.abc import Iterator

import numpy as np
from absl.flags import FLAGS

from experiments.benchmarks import attacks, problems, strength
from experiments.benchmarks.harness import Entrant
from experiments.benchmarks.parts import Row, Size
from experiments.benchmarks.parts.races import race
from experiments.benchmarks.rivals import pytorch
from experiments.benchmarks.rivals.attack_libraries import LIBRARIES, Terms

ATTACKS = ("pgd", "deepfool", "carlini_wagner")


def attack(size: Size) -> Iterator[Row]:
    """Yield rates in float32, with the successes by our logits.

    The network has its initial weights, and the examples the labels that it gives them.
    """
    count = 4 if size.small else 128
    FLAGS([
        "part", f"--ours={count},vmap", f"--slow_examples={count}",
    ])  # fmt: skip
    terms = Terms(
        pgd_steps=40, cw_steps=5 if size.small else 100,
        cw_searches=2 if size.small else 5,
    )  # fmt: skip
    pytorch.start()
    classifier = problems.fresh_rescnn(size.width)
    x = problems.noise(count, seed=0)
    logits_fn = classifier.logits_fn("mfbe")
    y = strength.predictions(logits_fn, x).astype(np.int32)
    parity = pytorch.parity(classifier, x, 1e-4)
    network, layout = attacks.faster_layout(pytorch.twin(classifier), x)
    libraries = [each for each in LIBRARIES if importlib.util.find_spec(each)]
    yield Row("attacks", "logits of JAX and PyTorch", "check", parity, "difference")
    for name in ATTACKS:
        problem = attacks.pose(name, terms, logits_fn, x, y)
        rivals = attacks.rival_contestants(name, libraries, network, terms, problem)
        every = [*attacks.our_contestants(name, terms, problem), *rivals]

        def note(entrant: Entrant, problem=problem) -> str:
            outcome = strength.judge(problem, entrant.result)
            return (
                f"success {outcome.rate():.3f}, median distance "
                f"{outcome.median():.4g}; PyTorch computes {layout}"
            )

        work = f"{name}, width {size.width}, float32, {count} examples"
        yield from race([(work, each) for each in every], "examples", note=note)
