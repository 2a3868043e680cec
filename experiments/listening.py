"""From a stage of the chain on to the network, or back to what one can listen to."""

import functools
import pathlib
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float

from advjax.representations import Representation
from advjax.types import Features
from data_prep.clips import to_int16


@functools.partial(jax.jit, static_argnums=(0, 1))
def onward(representation: Representation, at: str, x: Features) -> Features:
    """What the network takes in when `x` is what the stage `at` gave."""
    for step in representation.after(at):
        x = step.step(x)
    return x


def waveform_of(
    stage: Representation, x: Features, clean: Mapping[str, Features]
) -> Float[np.ndarray, "time"] | None:
    """The waveform behind `x`; None where a step on the way has no inverse.

    Args:
        stage: the stage that `x` is at.
        x: one example there, perhaps perturbed.
        clean: the clean example at every stage of the chain before, by name: inverses
            borrow phases, levels and fine structure from it.
    """
    for step in reversed(stage.chain()[1:]):
        # By its type: a ValueError from an inverse that exists is a fault to see.
        if type(step).inverse is Representation.inverse:
            return None
        x = _inverse(step, x, clean[step.source.name])
    return np.asarray(x)


_inverse = jax.jit(
    lambda step, features, reference: step.inverse(features, reference=reference),
    static_argnums=0,
)


def write_wav(path: pathlib.Path, wave, sample_rate_hz: int) -> int:
    """How many samples were clipped at full scale; writes 16 bits, mono.

    The folder is made if missing.
    """
    from scipy.io import wavfile

    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, sample_rate_hz, to_int16(wave))
    return int(np.sum((wave < -1) | (wave > 32767 / 32768)))
