"""Complex Morlet scalogram of the waveform."""

import dataclasses
import functools
from typing import ClassVar, final

import numpy as np

from advjax.representations.base import Representation
from advjax.representations.waveform import Waveform
from advjax.signal.decibels import safe_sqrt
from advjax.signal.wavelets import morlet_scales, morlet_weights, scalogram_power
from advjax.types import Bounds, Features, Source


@functools.cache
def _weights(scalogram: "Scalogram") -> np.ndarray:
    return morlet_weights(
        scalogram.scales, omega0=scalogram.omega0, frame_length=scalogram.frame_length
    )


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Scalogram(Representation):
    """|Morlet transform| as [frames, bins, 1], root of its mean square over a frame.

    What "Adversarially Training for Audio Classifiers" (Sallo, Esmaeilpour, Cardinal)
    calls a DWT: a continuous transform on a grid. The mean is taken of the power, which
    is what an STFT bin has of its frame, and needs one root a frame, not one a sample.
    Its weights and its computation are described in `advjax.signal.wavelets`.

    Frames of 50 ms that overlap by half are the publication group's; the number of
    bins, their range and omega0 = 6 (the usual choice, with a mean of almost zero) are
    ours. One wavelet is f / 6 wide, so twenty bins an octave leave out nothing.

    Attributes:
        source: the waveform.
        num_bins: wavelets, their centres equally spaced in log frequency.
        min_hz: centre of the lowest. No wavelet may be longer than a frame: 64 Hz are
            the least for 50 ms.
        max_hz: centre of the highest, at most 0.4 of the sample rate: beyond, too much
            of the wavelet lies above the Nyquist frequency.
        frame_length: samples in a frame.
        hop: samples between frames.
        omega0: radians of the wavelet's oscillation within its deviation.
        floor: added to the power inside the root; keeps the gradient finite at silence.
    """

    name: ClassVar[str] = "scalogram"
    source: Representation = Waveform()
    num_bins: int = 128
    min_hz: float = 64.0
    max_hz: float = 6000.0
    frame_length: int = 800
    hop: int = 400
    omega0: float = 6.0
    floor: float = 1e-24

    def __post_init__(self):
        """Refuses wavelets that this sample rate cannot hold."""
        super().__post_init__()
        most = 0.4 * self.sample_rate_hz
        if not 0 < self.min_hz <= self.max_hz <= most:
            raise ValueError(
                f"min_hz={self.min_hz:g} and max_hz={self.max_hz:g}: give 0 < min_hz "
                f"<= max_hz <= {most:g}, which is 0.4 of the sample rate"
            )

    @property
    def frequencies_hz(self) -> np.ndarray:
        """Centre of each bin."""
        return np.geomspace(self.min_hz, self.max_hz, self.num_bins)

    @property
    def scales(self) -> np.ndarray:
        """Scale of each bin in samples."""
        return morlet_scales(
            self.frequencies_hz,
            omega0=self.omega0,
            sample_rate_hz=self.sample_rate_hz,
        )

    def step(self, x: Source) -> Features:
        """The scalogram of one waveform."""
        power = scalogram_power(
            x, weights=_weights(self), frame_length=self.frame_length, hop=self.hop
        )
        return safe_sqrt(power, self.floor)[..., None]

    @property
    def bounds(self) -> Bounds:
        """Magnitudes are not negative."""
        return (0.0, float("inf"))
