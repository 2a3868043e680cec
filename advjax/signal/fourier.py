"""Short-time Fourier transforms.

Convention: forward sign exp(-2 pi i f n / num_fft), no normalisation, one-sided. Frames
are those of `framing.frame`: no centring, zero-padded tail.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from advjax.signal.framing import frame

WINDOWS = {
    # Periodic windows, as SciPy's get_window gives them for spectral analysis.
    "rectangular": lambda n: np.ones(n, np.float32),
    "hann": lambda n: (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)).astype("f4"),
    "hamming": lambda n: (0.54 - 0.46 * np.cos(2 * np.pi * np.arange(n) / n)).astype(
        "f4"
    ),
}


def stft(
    x: Float[Array, "time"], *, length: int, hop: int, num_fft: int, window: str
) -> Complex[Array, "frames bins"]:
    """One-sided spectrum of each windowed frame of `x`.

    Args:
        x: a signal.
        length: samples in a frame.
        hop: samples between frames.
        num_fft: length of the transform; frames are zero-padded to it.
        window: a name in `WINDOWS`.

    Raises:
        ValueError: an unknown window, or a transform shorter than the frame.
    """
    if window not in WINDOWS:
        raise ValueError(f"unknown window {window!r}; there are: {', '.join(WINDOWS)}")
    if num_fft < length:
        raise ValueError(f"num_fft={num_fft} would cut frames of {length} samples")
    frames = frame(x, length=length, hop=hop)
    return jnp.fft.rfft(frames * WINDOWS[window](length)[None, :], num_fft)
