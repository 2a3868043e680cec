"""The waveform itself: the root of every chain."""

import dataclasses
from typing import ClassVar, final

from advjax.representations.base import Representation
from advjax.types import Bounds, Features, Source


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Waveform(Representation):
    """A mono clip of fixed length.

    25,800 samples at 16 kHz are 1.6125 s, exactly 160 frames of 400 samples every 160.
    Every demonstration clip that O'Reilly published has this length (his text says
    25,000).
    """

    name: ClassVar[str] = "waveform"
    source: Representation | None = None
    sample_rate_hz: int = 16_000
    num_samples: int = 25_800

    def step(self, x: Source) -> Features:
        """The clip unchanged."""
        return x

    @property
    def bounds(self) -> Bounds:
        """Full scale."""
        return (-1.0, 1.0)

    @property
    def units(self) -> str:
        """Amplitude relative to full scale."""
        return "full scale"
