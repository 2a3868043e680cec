"""A fused step of adversarial training of ResNet-18, beside PyTorch's."""

from collections.abc import Iterator

import numpy as np

from experiments.benchmarks import harness, problems, training
from experiments.benchmarks.harness import Entrant
from experiments.benchmarks.parts import Row, Size
from experiments.benchmarks.parts.races import race
from experiments.benchmarks.rivals import pytorch


def adversarial_step(size: Size) -> Iterator[Row]:
    """Yield steps per second in float32 on spectrogram images; losses are compared."""
    pytorch.start()
    shape, width, count = ((112, 55), 4, 4) if size.small else ((784, 384), 64, 32)
    classifier = problems.fresh_resnet18(shape, width=width)
    batch = problems.labelled(classifier, count, seed=0)
    parity = pytorch.parity(classifier, batch.x, 1e-3)
    yield Row("training", "logits of JAX and PyTorch", "check", parity, "difference")

    def note(entrant: Entrant) -> str:
        losses.setdefault(entrant.contestant.name, np.asarray(entrant.first))
        harness.differences(losses, training.LOSSES_TOLERANCE, "losses")
        return f"loss {losses[entrant.contestant.name][0]:.4f}"

    losses: dict[str, np.ndarray] = {}
    size_text = "x".join(map(str, shape))
    work = f"ResNet-18, width {width}, batch {count} of {size_text}, float32"
    contestants = training.contestants(classifier, batch)
    yield from race([(work, each) for each in contestants], "steps", note=note)
