"""Classifiers over many examples: one compiled program, one row per example.

An example's randomness comes from its id, so that rows do not depend on their order, on
which other examples there are, or on where a run was interrupted.
"""

import functools
import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from advjax.classifier import Classifier
from advjax.compilation import compiler_options
from advjax.metrics.distortion import radius_snr_db
from advjax.reports.rows import Row
from advjax.representations import Representation
from advjax.smoothing import Noise, certify
from advjax.types import Key, LogitsFn


class Point(NamedTuple):
    """One example to evaluate, at the stage where noise or a perturbation enters."""

    idx: int
    id: str
    x: Float[np.ndarray, "*features"]
    label: int


def example_key(key: Key, id: str) -> Key:
    """The key of one example: 64 bits of the SHA-256 of its id, folded into `key`."""
    digest = hashlib.sha256(id.encode()).digest()
    high, low = (int.from_bytes(digest[i : i + 4], "big") for i in (0, 4))
    return jax.random.fold_in(jax.random.fold_in(key, high), low)


def stage_features(
    stage: Representation, audio: Int[np.ndarray, "time"]
) -> Float[np.ndarray, "*features"]:
    """The stage's array of one clip of stored int16 audio."""
    return np.asarray(_apply(stage, np.asarray(audio, np.float32) / np.float32(32768)))


_apply = jax.jit(lambda stage, wave: stage.apply(wave), static_argnums=0)


def logits_of_batch(
    logits_fn: LogitsFn,
    x: Float[np.ndarray, "examples *features"],
    *,
    batch_size: int = 50,
) -> Float[np.ndarray, "examples classes"]:
    """Logits of many examples, `batch_size` at a time (the last batch is padded)."""
    rows = []
    for start in range(0, len(x), batch_size):
        part = np.asarray(x[start : start + batch_size])
        padding = [(0, batch_size - len(part))] + [(0, 0)] * (part.ndim - 1)
        rows.append(_logits_each()(logits_fn, np.pad(part, padding))[: len(part)])
    return np.concatenate([np.asarray(row) for row in rows])


@functools.cache
def _logits_each():
    # Made at the first call: the options are probed on the backend, which an import
    # must not start.
    return jax.jit(
        lambda logits_fn, x: jax.vmap(logits_fn)(x), compiler_options=compiler_options()
    )


def clean_accuracy(
    classifier: Classifier,
    x: Float[np.ndarray, "examples *features"],
    y: Int[np.ndarray, "examples"],
    *,
    at: str,
    noise: Noise | None = None,
    key: Key | None = None,
) -> float:
    """Share of examples classified right, with one draw of `noise` each if given."""
    if noise is not None:
        keys = jax.random.split(key, len(x))
        x = np.asarray(jax.jit(jax.vmap(noise.sample))(keys, jnp.asarray(x)))
    logits = logits_of_batch(classifier.logits_fn(at), x)
    return float((logits.argmax(axis=-1) == np.asarray(y)).mean())


def certify_points(
    logits_fn: LogitsFn,
    points: Iterable[Point],
    key: Key,
    *,
    noise: Noise,
    num_selection: int,
    num_estimation: int,
    alpha: float,
    tile: int | None = None,
    chunk: int | None = None,
    mesh: Mesh | None = None,
    done: Collection[str] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Row]:
    """One row per point that is not `done` yet, as soon as it is certified.

    Args:
        logits_fn: the classifier after the stage that `points` are at.
        points: what to certify.
        key: root of all noise; a point's own key follows from its id.
        noise: the smoothing law.
        num_selection: votes that choose the class.
        num_estimation: fresh votes that bound its probability.
        alpha: failure probability of one certificate.
        tile: noisy copies evaluated at once; None for the backend's default.
        chunk: tiles per dispatch; None for the default.
        mesh: devices that share the votes.
        done: ids that need no row.
        clock: seconds from any fixed moment.
    """
    for point in points:
        if point.id in done:
            continue
        start = clock()
        found = certify(
            logits_fn,
            point.x,
            example_key(key, point.id),
            noise=noise,
            num_selection=num_selection,
            num_estimation=num_estimation,
            alpha=alpha,
            tile=tile,
            chunk=chunk,
            mesh=mesh,
        )
        yield Row(
            idx=point.idx,
            label=point.label,
            predict=found.prediction,
            radius=found.radius,
            correct=found.prediction == point.label,
            time=clock() - start,
            id=point.id,
            p_lower=found.p_lower,
            votes=found.votes,
            n=num_estimation,
            snr_db=radius_snr_db(point.x, found.radius),
        )
