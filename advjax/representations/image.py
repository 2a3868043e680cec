"""Representations as images of a chosen size, alone and side by side."""

import dataclasses
from typing import ClassVar, final

import jax
import jax.numpy as jnp

from advjax.representations.base import Representation
from advjax.representations.chroma import Tonnetz
from advjax.representations.magnitude import Magnitude
from advjax.representations.waveform import Waveform
from advjax.signal.decibels import level_db
from advjax.signal.extrema import greatest, least
from advjax.types import Bounds, Features, Source

_FLAT = 1e-6
"""Smallest range of a clip that counts as contrast.

Levels around -80 dB are 1e-5 apart in float32; the chromagram's rounding at silence is
1e-8.
"""


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Image(Representation):
    """A [frames, bins, 1] representation scaled to [0, 1] and resized.

    Levels in dB are clipped `range_db` below the clip's greatest. The least becomes 0
    and the greatest 1. Bilinear interpolation resizes the image; its triangles widen
    where the image shrinks, so that every entry counts. A clip of one value, such as
    silence, becomes all zeros.

    1568 x 768 is the size that "Adversarially Training for Audio Classifiers" (Sallo,
    Esmaeilpour, Cardinal) states for its spectrograms. The publication does not state
    how images of this size are made; the steps above are our reading.

    Attributes:
        source: any representation [frames, bins, 1].
        frames: rows of the image.
        bins: columns of the image.
        decibels: True if the source's entries are amplitudes to be shown as levels.
        range_db: difference of the greatest and the least level shown.
        floor: added to the squared amplitude inside the logarithm.
    """

    name: ClassVar[str] = "image"
    source: Representation = Magnitude()
    frames: int = 1568
    bins: int = 768
    decibels: bool = True
    range_db: float = 80.0
    floor: float = 1e-24

    def step(self, x: Source) -> Features:
        """The image of one example of the source."""
        values = x[..., 0]
        if self.decibels:
            levels = level_db(values, self.floor)
            values = jnp.maximum(levels, greatest(levels) - self.range_db)
        darkest = least(values)
        extent = greatest(values) - darkest
        # Divided by the extent alone, so that the greatest entry is 1.
        flat = extent < _FLAT
        shown = (values - darkest) / jnp.where(flat, 1.0, extent)
        shown = jnp.where(flat, 0.0, shown)
        return jax.image.resize(shown, (self.frames, self.bins), "linear")[..., None]

    @property
    def bounds(self) -> Bounds:
        """From black to white."""
        return (0.0, 1.0)


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Stacked(Representation):
    """Two representations of one waveform, joined along their bins.

    Attributes:
        source: the waveform of both.
        first: representation whose bins come first.
        second: representation whose bins follow, with as many frames and channels.
    """

    name: ClassVar[str] = "stacked"
    source: Representation = Waveform()
    first: Representation = Image()
    second: Representation = Image(source=Tonnetz(), bins=540, decibels=False)

    def __post_init__(self):
        """Refuse representations of different waveforms."""
        super().__post_init__()
        for member in (self.first, self.second):
            if member.chain()[0] != self.source:
                raise ValueError(
                    f"{member.name} starts from {member.chain()[0]}, not from "
                    f"{self.source}: give all three the same waveform"
                )

    def step(self, x: Source) -> Features:
        """Both representations of one waveform."""
        first, second = self.first.apply(x), self.second.apply(x)
        if first.shape[::2] != second.shape[::2]:
            raise ValueError(
                f"{self.first.name} of shape {first.shape} and {self.second.name} of "
                f"shape {second.shape} cannot be stacked: give both as many frames, "
                "for instance as images"
            )
        return jnp.concatenate([first, second], axis=1)

    @property
    def bounds(self) -> Bounds:
        """Smallest and largest value of either image."""
        lows, highs = zip(self.first.bounds, self.second.bounds, strict=True)
        return (min(lows), max(highs))
