"""Constant-Q transform of a signal: bins in equal ratios, all equally sharp.

Convention: with b bins an octave, bin k lies at f_k = low_hz 2^(k / b), and its window
is

    L_k = Q sample_rate_hz / f_k samples long,  Q = 1 / (2^(1 / b) - 1):

Q periods, so that the next bin fits one more period into the same window. A kernel is a
periodic Hann window times exp(-2 pi i f_k m / sample_rate_hz), m samples from a frame's
centre, divided by the window's sum. A steady tone of amplitude A at f_k therefore has
the power A^2 / 4. Its mirror image at -f_k changes that by 1e-4 or less in most bins,
and by 2 % at 14,080 Hz of 32,000, near half the sample rate.

Frame t is centred on sample t hop + 512. An STFT frame of 1024 samples from t hop on
has the same centre. The signal is zero outside its samples.

Lengths are rounded as in librosa 0.11, `filters.wavelet`, which gives these kernels for
`alpha=1 / Q` and `norm=1`: m goes from -ceil(L_k / 2) to floor(L_k / 2) - 1. That is
the odd one of the integers around L_k, or L_k itself if it is even. An odd window peaks
half a sample before the centre.

Source: Brown 1991, "Calculation of a constant Q spectral transform", J. Acoust. Soc.
Am. 89(1). Kernels made once and applied as a matrix: Brown and Puckette 1992, "An
efficient algorithm for the calculation of a constant Q transform", ibid. 92(5).
Differs: Brown uses Hamming windows, divides by their length, and lets all windows of a
frame begin at the same sample. The second paper takes products of spectra.

Computation: the signal and each kernel are cut into blocks of `hop` samples. One matrix
product takes every block with every piece, and a frame is the sum of a few of its
rows. No sample is copied into overlapping frames, and high bins cost nothing in the
blocks that only low bins reach. The longest window should span few hops: each is a
term of the program.
"""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Half of the STFT frame that has the same centre.
_CENTRE = 512


def constant_q_frequencies(
    *, num_bins: int = 64, bins_per_octave: int = 9, low_hz: float = 110.0
) -> Float[np.ndarray, "bins"]:
    """Frequencies of the bins in Hz, float64."""
    return low_hz * 2.0 ** (np.arange(num_bins) / bins_per_octave)


def constant_q_power(
    x: Float[Array, "time"],
    *,
    sample_rate_hz: int = 32_000,
    hop: int = 512,
    num_bins: int = 64,
    bins_per_octave: int = 9,
    low_hz: float = 110.0,
) -> Float[Array, "frames bins"]:
    """Squared magnitude of each frame's constant-Q transform.

    There are ceil(time / hop) frames. The module's docstring has the definition.

    The defaults are our choice: 7 octaves and a bin, from 110 Hz (A2) to 14,080 Hz,
    with windows of 3633 down to 29 samples.

    Args:
        x: a signal, float32, of any length.
        sample_rate_hz: samples a second.
        hop: samples between the centres of frames.
        num_bins: number of bins, from `low_hz` upwards.
        bins_per_octave: bins in a doubling of the frequency.
        low_hz: frequency of the lowest bin.

    Raises:
        ValueError: a count or `low_hz` is not positive, or the highest bin is not below
            half the sample rate.
    """
    pieces, widths, first = _pieces(
        sample_rate_hz, hop, num_bins, bins_per_octave, float(low_hz)
    )
    frames = -(-x.shape[0] // hop)
    count = frames + len(widths) - 1
    padded = jnp.pad(x, (-first * hop, (count + first) * hop - x.shape[0]))
    # Full float32 on every backend: lower precision would be another transform.
    products = jnp.dot(padded.reshape(count, hop), pieces, precision="highest")
    total = jnp.zeros((frames, 2 * num_bins), x.dtype)
    start = 0
    for block, width in enumerate(widths):
        part = products[block : block + frames, start : start + width]
        total += jnp.pad(part, ((0, 0), (0, 2 * num_bins - width)))
        start += width
    return jnp.square(total).reshape(frames, num_bins, 2).sum(axis=-1)


@functools.cache
def _pieces(
    sample_rate_hz: int, hop: int, num_bins: int, bins_per_octave: int, low_hz: float
) -> tuple[Float[np.ndarray, "hop columns"], tuple[int, ...], int]:
    """Kernels cut into blocks, float32, side by side.

    Returns:
        The pieces, with the real and imaginary column of a bin next to each other; the
        number of columns of each block, which are those of the lowest bins; and the
        number of the first block, 0 being the block at t hop.
    """
    if min(sample_rate_hz, hop, num_bins, bins_per_octave) < 1 or not low_hz > 0:
        raise ValueError(
            "sample_rate_hz, hop, num_bins, bins_per_octave and low_hz must be "
            f"positive, got {sample_rate_hz}, {hop}, {num_bins}, {bins_per_octave} and "
            f"{low_hz}"
        )
    frequency_hz = constant_q_frequencies(
        num_bins=num_bins, bins_per_octave=bins_per_octave, low_hz=low_hz
    )
    if frequency_hz[-1] >= sample_rate_hz / 2:
        raise ValueError(
            f"bin {num_bins - 1} at {frequency_hz[-1]:.0f} Hz is not below half the "
            f"sample rate, {sample_rate_hz / 2:.0f} Hz: lower num_bins or low_hz"
        )
    quality = 1 / (2 ** (1 / bins_per_octave) - 1)
    half = quality * sample_rate_hz / frequency_hz / 2
    # The first kernel is the longest; the block at t hop always exists.
    first = min(0, (_CENTRE - math.ceil(half[0])) // hop)
    last = (_CENTRE + math.floor(half[0]) - 1) // hop
    kernels = np.zeros(((last - first + 1) * hop, num_bins, 2))
    for k in range(num_bins):
        m = np.arange(-math.ceil(half[k]), math.floor(half[k]))
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(m)) / len(m))
        angle = 2 * np.pi * frequency_hz[k] / sample_rate_hz * m
        waves = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
        at = _CENTRE - first * hop + m
        kernels[at, k] = window[:, None] * waves / window.sum()
    blocks = kernels.astype(np.float32).reshape(-1, hop, num_bins, 2)
    # Windows lie inside those of lower bins: a block has columns of the lowest ones.
    widths = tuple(2 * int(block.any(axis=(0, 2)).sum()) for block in blocks)
    flat = blocks.reshape(-1, hop, 2 * num_bins)
    pieces = [block[:, :width] for block, width in zip(flat, widths, strict=True)]
    return np.concatenate(pieces, axis=1), widths, first
