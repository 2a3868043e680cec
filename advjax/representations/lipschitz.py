"""Upper bounds on the Lipschitz constants of stages.

A stage has the constant L if the l2 distance of two of its arrays is at most L times
that of their waveforms. A radius r certified at the stage is then a radius r / L at the
waveform.

Magnitudes are moduli of linear functions, and a modulus changes by no more than its
argument. A change of the waveform x along x itself changes all magnitudes by as much as
their arguments. The constant of magnitudes is therefore exactly the norm of the
short-time Fourier transform after the pre-emphasis. Bands of magnitudes multiply it by
the norm of their filters; log(1 + band) has slope at most 1.
"""

import numpy as np

from advjax.representations.base import Representation
from advjax.representations.magnitude import Magnitude
from advjax.representations.mel import (
    Log1pMelMagnitudes,
    LogMel,
    MelEnergies,
    MelMagnitudes,
)
from advjax.representations.waveform import Waveform
from advjax.signal.fourier import WINDOWS

# Runs store these sentences in their settings, and compare them on resuming.
_UNBOUNDED = {
    MelEnergies: "each frame is divided by its own deviation, which is as small as the "
    "frame is quiet",
    LogMel: "energies are squares, whose slope grows with the clip",
}

_BOUNDED = (Waveform, Magnitude, MelMagnitudes, Log1pMelMagnitudes)


def lipschitz_bound(stage: Representation) -> float:
    """Proved upper bound on the l2 distance at `stage` for 1 at the waveform.

    Raises:
        ValueError: `stage` has no bound, or none is known; the message says which.
    """
    match stage:
        case Waveform():
            return 1.0
        case Magnitude():
            return _magnitude_bound(stage)
        case MelMagnitudes():
            filters = np.linalg.norm(np.float64(stage.filters), 2)
            return float(filters) * lipschitz_bound(stage.source)
        case Log1pMelMagnitudes():
            return lipschitz_bound(stage.source)
    reason = _UNBOUNDED.get(type(stage), "no bound has been worked out for it")
    bounded = ", ".join(m.name for m in stage.chain() if isinstance(m, _BOUNDED))
    raise ValueError(
        f"no radius at {stage.name} is one at the waveform: {reason}. On the way to it "
        f"there is a bound for {bounded}"
    )


def _magnitude_bound(magnitude: Magnitude) -> float:
    """Upper bound on the norm of a short-time Fourier transform after a pre-emphasis.

    By Parseval, a frame z of length m has with N >= m points the one-sided energy (N
    |z|^2 + X_0^2 + X_{N/2}^2) / 2: the two bins without a mirror image count twice. X_0
    and X_{N/2} are products of z with a constant and with an alternating vector. The
    squares of both are together at most (m + [m is odd]) |z|^2. Odd N has no X_{N/2},
    and the bound is m |z|^2.

    All frames together hold the energy of a sample as often as windows cover it: at
    most the largest sum of squared window entries a hop apart. The pre-emphasis 1 - c
    z^-1 has norm at most 1 + |c|. The floor inside the root reduces differences.
    """
    length, num_fft = magnitude.frame_length, magnitude.num_fft
    window = np.float64(WINDOWS[magnitude.window](length)) ** 2
    covered = np.pad(window, (0, -length % magnitude.hop)).reshape(-1, magnitude.hop)
    unmirrored = length if num_fft % 2 else length + length % 2
    energy = covered.sum(axis=0).max() * (num_fft + unmirrored) / 2
    return float((1 + abs(magnitude.preemphasis)) * np.sqrt(energy))
