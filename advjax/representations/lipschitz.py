"""Lipschitz constants of stages, bounded from above and from below.

A radius r certified at a stage is one of r / L at the waveform, when L bounds the
distance of two arrays of the stage by L times that of their waveforms. Magnitudes are
the moduli of linear functions, and a modulus moves no further than what it is of; at
the waveform x a move along x itself moves all of them as far. So their L is the norm of
the short-time Fourier transform after the pre-emphasis, exactly; bands of magnitudes
add the norm of their filters, and log(1 + band) has slope 1 at most.
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

_UNBOUNDED = {
    MelEnergies: "each frame is divided by its own deviation, which is as small as the "
    "frame is quiet",
    LogMel: "energies are squares, whose slope grows with the clip",
}

_BOUNDED = (Waveform, Magnitude, MelMagnitudes, Log1pMelMagnitudes)


def lipschitz_bound(stage: Representation) -> float:
    """An upper bound, proved, on the l2 distance at `stage` for 1 at the waveform.

    Raises:
        ValueError: a stage without a bound, or for which none has been worked out; the
            message says which.
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
    """The norm of a short-time Fourier transform after a pre-emphasis, from above.

    For a frame z of length m and N >= m points, the one-sided spectrum has the energy
    (N |z|^2 + X_0^2 + X_{N/2}^2) / 2, Parseval's, in which the two bins that have no
    mirror image count twice. X_0 and X_{N/2} are products of z with a constant and with
    an alternating vector, whose projections are at most (m + [m is odd]) |z|^2
    together (for odd N there is no X_{N/2}, and m |z|^2 at most). All frames together
    hold the energy of a sample as often as windows cover it: at most the largest sum of
    squared window entries a hop apart. The pre-emphasis 1 - c z^-1 has the norm
    1 + |c| at most. The floor inside the root makes differences smaller.
    """
    length, num_fft = magnitude.frame_length, magnitude.num_fft
    window = np.float64(WINDOWS[magnitude.window](length)) ** 2
    covered = np.pad(window, (0, -length % magnitude.hop)).reshape(-1, magnitude.hop)
    unmirrored = length if num_fft % 2 else length + length % 2
    energy = covered.sum(axis=0).max() * (num_fft + unmirrored) / 2
    return float((1 + abs(magnitude.preemphasis)) * np.sqrt(energy))
