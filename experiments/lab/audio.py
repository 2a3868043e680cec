"""Examples at any stage of the chain, computed onward or resynthesised; WAV files."""

import functools
import pathlib
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float, Float32

from advjax.representations import Representation
from advjax.signal.samples import from_int16, to_int16
from advjax.types import Features


@functools.partial(jax.jit, static_argnums=(0, 1))
def onward(representation: Representation, at: str, x: Features) -> Features:
    """The network's input for an example `x` at the stage `at`."""
    for step in representation.after(at):
        x = step.step(x)
    return x


def has_inverse(step: Representation) -> bool:
    """True if a step has an inverse."""
    # By its type: a ValueError from an inverse that exists is a fault to see.
    return type(step).inverse is not Representation.inverse


def waveform_of(
    stage: Representation, x: Features, clean: Mapping[str, Features]
) -> Float[np.ndarray, "time"] | None:
    """The waveform resynthesised from `x`; None if a step has no inverse.

    Args:
        stage: the stage that `x` is at.
        x: one example there, perhaps perturbed.
        clean: the clean example at every stage of the chain before, by name: inverses
            borrow phases, levels and fine structure from it.
    """
    for step in reversed(stage.chain()[1:]):
        if not has_inverse(step):
            return None
        x = _inverse(step, x, clean[step.source.name])
    return np.asarray(x)


_inverse = jax.jit(
    lambda step, features, reference: step.inverse(features, reference=reference),
    static_argnums=0,
)


FORMATS = ("pcm16", "float32")
"""Samples of a WAV: rounded to 16 bits, or as they are."""


def write_wav(
    path: pathlib.Path,
    wave: Float[np.ndarray, "time"],
    sample_rate_hz: int,
    *,
    audio_format: str = "pcm16",
) -> int:
    """Write a mono WAV and return the number of samples clipped at full scale.

    The folder is made if missing. Samples of float32 are not clipped.

    Raises:
        ValueError: a format that is not one of `FORMATS`, or samples that are not
            finite.
    """
    from scipy.io import wavfile

    if audio_format not in FORMATS:
        raise ValueError(
            f"audio_format={audio_format!r}: choose {' or '.join(FORMATS)}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = to_int16(wave)
    if audio_format == "float32":
        wavfile.write(path, sample_rate_hz, np.asarray(wave, np.float32))
        return 0
    wavfile.write(path, sample_rate_hz, rounded)
    return int(np.sum((wave < -1) | (wave > 32767 / 32768)))


def read_wav(path: pathlib.Path) -> Float32[np.ndarray, "time"]:
    """The samples of a file of `write_wav`, full scale 1."""
    from scipy.io import wavfile

    _, samples = wavfile.read(path)
    return from_int16(samples) if samples.dtype == np.int16 else samples
