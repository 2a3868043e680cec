"""Inputs and networks that several benchmarks share; no time depends on their values.

JAX is imported inside the functions: a rival's process holds only its own library.
"""

import dataclasses

import numpy as np

NUM_CLASSES = 10
LABELS = tuple(str(label) for label in range(NUM_CLASSES))
SIGMAS = {"mfbe": 0.25, "waveform": 0.01}
"""Standard deviation of the smoothing noise, by stage."""


def compile_afresh() -> None:
    """Compile without the cache on disk: first calls are measured with compilation."""
    import jax

    jax.config.update("jax_enable_compilation_cache", False)


def fresh_rescnn(width: int, *, dropout: float = 0.2, seed: int = 0):
    """A `Classifier`: a ResCNN at mfbe with its initial weights."""
    import jax

    from advjax.classifier import Classifier, initialise
    from advjax.models import ResCNN
    from advjax.representations import MelEnergies

    module = ResCNN(num_classes=NUM_CLASSES, width=width, dropout=dropout)
    representation = MelEnergies()
    variables = initialise(module, representation, jax.random.key(seed))
    return Classifier(
        variables=jax.device_get(variables),
        module=module,
        representation=representation,
        labels=LABELS,
    )


def fresh_resnet18(size: tuple[int, int], *, width: int = 64, seed: int = 0):
    """A `Classifier`: a ResNet-18 with its initial weights.

    Args:
        size: frames and bins of its spectrogram images, which it does not resize.
        width: channels of the first stage.
        seed: of the weights.
    """
    import jax

    from advjax.classifier import Classifier, initialise
    from advjax.models import ResNet18
    from advjax.representations.presets import stft

    frames, bins = size
    representation = dataclasses.replace(stft(), frames=frames, bins=bins)
    module = ResNet18(num_classes=NUM_CLASSES, width=width, resize=None)
    variables = initialise(module, representation, jax.random.key(seed))
    return Classifier(jax.device_get(variables), module, representation, LABELS)


def labelled(classifier, count: int, seed: int):
    """A `Batch` of random inputs of a classifier, in [0, 1), and labels."""
    from advjax.types import Batch

    shape = count, *classifier.representation.feature_shape
    x = np.random.default_rng(seed).random(shape, np.float32)
    return Batch(x, np.arange(count, dtype=np.int32) % NUM_CLASSES)


def training_step(module, gradients, optimizer, **compiler_options):
    """A step of a defence, as `fit` compiles it.

    From ((parameters, batch statistics, state of the optimizer), batch, key) to the
    next three and the metrics.
    """
    import jax
    import optax

    from advjax.runtime import compilation

    def apply(params, batch_stats, x, key):
        variables = {"params": params, "batch_stats": batch_stats}
        logits, updated = module.apply(
            variables, x, train=True, mutable=["batch_stats"], rngs={"dropout": key}
        )
        return logits, updated.get("batch_stats", {})

    def step(state, batch, key):
        params, batch_stats, averages = state
        found = gradients(apply, params, batch_stats, batch, key)
        updates, averages = optimizer.update(found.params, averages, params)
        params = optax.apply_updates(params, updates)
        return (params, found.batch_stats, averages), found.metrics

    options = compilation.compiler_options() | compiler_options
    return jax.jit(step, donate_argnums=0, compiler_options=options)


def noise(count: int, seed: int) -> np.ndarray:
    """Standard normal noise in the shape of mfbe, [count, 160, 64, 1]."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 160, 64, 1)).astype(np.float32)


def clip(stage: str) -> np.ndarray:
    """One clip of normal noise at mfbe or the waveform, [1, *features]."""
    return noise(1, 0) if stage == "mfbe" else np.float32(0.1) * _waves(1, 0)


def noisy_copies(stage: str, count: int, seed: int) -> np.ndarray:
    """Noisy copies of the clip, [count, *features]."""
    draw = noise if stage == "mfbe" else _waves
    return clip(stage) + np.float32(SIGMAS[stage]) * draw(count, seed)


def parity_inputs(stage: str) -> np.ndarray:
    """Noisy copies of the clip, on which all contestants of `certify` must agree."""
    return noisy_copies(stage, 4, seed=1)


def _waves(count: int, seed: int) -> np.ndarray:
    """Standard normal noise in the shape of the waveforms of mfbe, [count, time]."""
    from advjax.representations import MelEnergies

    rng = np.random.default_rng(seed)
    length = MelEnergies().num_samples
    return rng.normal(size=(count, length)).astype(np.float32)


def voices(representation, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips of synthetic speech [clips, time], and a cotangent of their features."""
    from data_prep.corpora.voices import speak

    speech = np.concatenate([speak(seed, 1.5, speaker, 0) for speaker in range(4)])
    rng = np.random.default_rng(seed)
    starts = rng.integers(len(speech), size=(count, 1))
    index = starts + np.arange(representation.num_samples)
    shape = (count, *representation.feature_shape[:-1])
    return speech[index % len(speech)], rng.normal(size=shape).astype(np.float32)
