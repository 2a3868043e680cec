"""A fused step of adversarial training of ResNet-18, beside PyTorch's."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from advjax.classifier import Classifier, initialise
from advjax.models import ResNet18
from advjax.representations.presets import stft
from advjax.types import Batch
from experiments.benchmarks import harness, problems, training
from experiments.benchmarks.harness import Entrant
from experiments.benchmarks.parts import Row, Size
from experiments.benchmarks.parts.races import race
from experiments.benchmarks.rivals import pytorch


def adversarial_step(size: Size) -> Iterator[Row]:
    """Yield steps per second in float32 on spectrogram images; losses are compared."""
    pytorch.start()
    representation = stft(scale=14.0 if size.small else 2.0)
    width, count = (4, 4) if size.small else (64, 32)
    module = ResNet18(num_classes=problems.NUM_CLASSES, width=width, resize=None)
    labels = tuple(str(label) for label in range(problems.NUM_CLASSES))
    variables = jax.device_get(initialise(module, representation, jax.random.key(0)))
    classifier = Classifier(variables, module, representation, labels)
    shape = representation.feature_shape
    x = np.random.default_rng(0).random((count, *shape), np.float32)
    batch = Batch(x, np.arange(count, dtype=np.int32) % problems.NUM_CLASSES)
    parity = pytorch.parity(classifier, jnp.asarray(x), 1e-3)
    yield Row("training", "logits of JAX and PyTorch", "check", parity, "difference")

    def note(entrant: Entrant) -> str:
        losses.setdefault(entrant.contestant.name, np.asarray(entrant.first))
        harness.differences(losses, training.LOSSES_TOLERANCE, "losses")
        return f"loss {losses[entrant.contestant.name][0]:.4f}"

    losses: dict[str, np.ndarray] = {}
    size_text = "x".join(map(str, shape[:2]))
    work = f"ResNet-18, width {width}, batch {count} of {size_text}, float32"
    contestants = training.contestants(classifier, batch)
    yield from race([(work, each) for each in contestants], "steps", note=note)
