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
    """Morlet scalogram [frames, bins, 1]: root of the mean power over each frame.

    "Adversarially Training for Audio Classifiers" (Sallo, Esmaeilpour, Cardinal) calls
    it a DWT; it is a continuous transform on a grid. The mean is that of the power, as
    in a bin of an STFT: that needs one root a frame, not one a sample.
    `advjax.signal.wavelets` describes the weights and the computation.

    Frames of 50 ms that overlap by half are the publication group's. The number of
    bins, their range and omega0 = 6 (the usual choice, with a mean of almost zero) are
    ours. A wavelet is f / 6 wide, so that twenty bins an octave leave no gaps.

    Attributes:
        source: the waveform.
        num_bins: number of wavelets, their centres equally spaced in log frequency.
        min_hz: centre of the lowest bin. No wavelet may be longer than a frame: 50 ms
            allow 64 Hz and more.
        max_hz: centre of the highest bin, at most 0.4 of the sample rate. Above, too
            much of the wavelet lies beyond the Nyquist frequency.
        frame_length: samples in a frame.
        hop: samples between frames.
        omega0: radians of the wavelet's oscillation within a standard deviation of its
            envelope.
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
        """Refuse wavelets that the sample rate cannot represent."""
        super().__post_init__()
        most = 0.4 * self.sample_rate_hz
        if not 0 < self.min_hz <= self.max_hz <= most:
            raise ValueError(
                f"min_hz={self.min_hz:g} and max_hz={self.max_hz:g}: give 0 < min_hz "
                f"<= max_hz <= {most:g}, which is 0.4 of the sample rate"
            )

    @property
    def frequencies_hz(self) -> np.ndarray:
        """Centre of each bin in Hz."""
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
