"""Noise distributions: draws of noisy copies, and the radii that votes certify."""

from collections.abc import Callable

from advjax.smoothing.noises.base import Noise
from advjax.smoothing.noises.coloured import coloured
from advjax.smoothing.noises.gain import gain
from advjax.smoothing.noises.gaussian import gaussian
from advjax.smoothing.noises.masked import masked
from advjax.smoothing.noises.pcm16 import pcm16
from advjax.smoothing.noises.uniform import uniform

NOISES: dict[str, Callable[..., Noise]] = {
    "gaussian": gaussian,
    "uniform": uniform,
    "coloured": coloured,
    "gain": gain,
    "pcm16": pcm16,
    "masked": masked,
}
"""The noise distributions by name."""
