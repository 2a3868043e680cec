"""Noise distributions: how to draw a noisy copy, and the radius that votes certify."""

from collections.abc import Callable

from advjax.smoothing.laws.base import Noise
from advjax.smoothing.laws.coloured import coloured
from advjax.smoothing.laws.gain import gain
from advjax.smoothing.laws.gaussian import gaussian
from advjax.smoothing.laws.masked import masked
from advjax.smoothing.laws.pcm16 import pcm16
from advjax.smoothing.laws.uniform import uniform

NOISES: dict[str, Callable[..., Noise]] = {
    "gaussian": gaussian,
    "uniform": uniform,
    "coloured": coloured,
    "gain": gain,
    "pcm16": pcm16,
    "masked": masked,
}
"""The noise distributions by name."""
