"""Features, logits and accuracy of a classifier without an attack."""

import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from advjax.arguments import float_example, in_float32, num_classes
from advjax.attacks.checks import example_like
from advjax.callables import apply, join, split
from advjax.classifier import BaseClassifier
from advjax.padding import apart, in_batches, of_any, of_each
from advjax.representations import Representation
from advjax.runtime.compilation import compiler_options
from advjax.signal.samples import from_int16
from advjax.smoothing import Noise
from advjax.types import AnyArray, AnyCallable, Key


def stage_features(
    stage: Representation, audio: Int[np.ndarray, "time"]
) -> Float[np.ndarray, "*features"]:
    """The array of one clip of int16 audio at a stage."""
    return np.asarray(_apply(stage, from_int16(np.asarray(audio))))


_apply = jax.jit(lambda stage, wave: stage.apply(wave), static_argnums=0)


def logits_of_batch(
    logits_fn: AnyCallable, x: AnyArray, *, batch_size: int = 50
) -> Float[np.ndarray, "examples classes"]:
    """Logits of many examples, `Padded` or not, `batch_size` at a time.

    Raises:
        ValueError: the function does not turn one example into one row of logits, or
            the examples hold no floating numbers.
    """
    x, lengths = apart(x)
    x = np.asarray(float_example(x))
    classes = num_classes(of_any(logits_fn, lengths), example_like(x))
    arrays, static = split(logits_fn)
    rows = [np.zeros((0, classes), np.float32)]
    for batch, count in in_batches((x, lengths), batch_size):
        rows.append(np.asarray(logits_program()(static, arrays, *batch))[:count])
    return np.concatenate(rows)


@functools.cache
def logits_program() -> Any:
    """The program of `logits_of_batch`.

    Its arguments are the static part and the arrays of the logits function, as of
    `split`, the examples and, if they are padded, their lengths.
    """
    # Made at the first call: the options need the backend, which an import must not
    # start.
    return jax.jit(
        lambda static, arrays, x, lengths=None: of_each(
            lambda logits_fn, x: logits_fn(x),
            in_float32(
                # Traced already, for the number of classes.
                functools.partial(apply, static, arrays)
                if lengths is None
                else join(arrays, static)
            ),
        )(lengths, x),
        static_argnums=0,
        compiler_options=compiler_options(),
    )


def clean_accuracy(
    classifier: BaseClassifier,
    x: Float[np.ndarray, "examples *features"],
    y: Int[np.ndarray, "examples"],
    *,
    at: str,
    noise: Noise | None = None,
    key: Key | None = None,
    batch_size: int = 50,
) -> float:
    """Share of examples classified correctly, each with one draw of noise if given.

    Args:
        classifier: the classifier.
        x: examples at the stage `at`.
        y: their labels.
        at: a stage of the classifier's chain.
        noise: the noise distribution; None for clean examples.
        key: root of the noise.
        batch_size: examples that are noisy and classified at once.
    """
    logits_fn, right = classifier.logits_fn(at), 0
    if noise is not None:
        keys, draw = jax.random.split(key, len(x)), jax.jit(jax.vmap(noise.sample))
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        seen = x[part] if noise is None else np.asarray(draw(keys[part], x[part]))
        logits = logits_of_batch(logits_fn, seen, batch_size=batch_size)
        right += int((logits.argmax(axis=-1) == np.asarray(y[part])).sum())
    return right / len(x)
