"""Audibility of a perturbation beside its clip, by a model of masking."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.signal.fourier import WINDOWS
from advjax.signal.masking import (
    FRAME_LENGTH,
    FULL_SCALE,
    HOP,
    NUM_BINS,
    PEAK_DB,
    MaskingThreshold,
    bark,
    bin_frequencies_hz,
    perturbation_power,
)

Wave = Float[Array, "time"]


def audible_excess(delta: Wave, threshold: MaskingThreshold) -> Float[Array, ""]:
    """The mean over frames and bins of the power above the masking threshold.

    It is the loss of the imperceptible attack.

    Args:
        delta: the perturbation of the wave.
        threshold: masking threshold of the wave.

    Source: Qin et al. 2019, arXiv:1903.10346, equation 6.
    """
    power = perturbation_power(delta, threshold.peak)
    return jnp.mean(jax.nn.relu(power - threshold.power))


def audible_share(delta: Wave, threshold: MaskingThreshold) -> Float[Array, ""]:
    """The share of frames and bins in which a perturbation exceeds the threshold."""
    power = perturbation_power(delta, threshold.peak)
    return jnp.mean((power > threshold.power).astype(jnp.float32))


def smallest_audible_l2(
    threshold: MaskingThreshold, num_samples: int, *, sample_rate_hz: int
) -> Float[Array, ""]:
    """The l2 norm below which no perturbation of the wave is audible above 1 Bark.

    Below 1 Bark (100 Hz) the model has no threshold in quiet.

    A bin of a frame is two products of the windowed perturbation, with a cosine and
    with a sine. The larger singular value of that pair is the largest magnitude of a
    perturbation of norm 1. The smallest norm that reaches a threshold in any bin is
    exact: the windowed tone of the best phase reaches it.

    Args:
        threshold: masking threshold of the wave.
        num_samples: length of the wave; its end covers a part of the last windows.
        sample_rate_hz: samples a second.
    """
    gain = _gains(len(threshold.power), num_samples)
    scale = 10 ** (PEAK_DB / 20) * (8 / 3) * FULL_SCALE / FRAME_LENGTH
    norms = jnp.sqrt(threshold.power * threshold.peak) / (scale * gain)
    counted = jnp.asarray(bark(bin_frequencies_hz(sample_rate_hz)) > 1)
    return jnp.min(norms, where=counted[None], initial=jnp.inf)


def _gains(num_frames: int, num_samples: int) -> Float[np.ndarray, "frames bins"]:
    """The largest magnitude of a perturbation of norm 1 in each bin of each frame."""
    energy = np.float64(WINDOWS["hann"](FRAME_LENGTH)) ** 2
    sizes = np.minimum(FRAME_LENGTH, num_samples - HOP * np.arange(num_frames))
    places, found = np.arange(FRAME_LENGTH), {}
    for seen in {*sizes.tolist()}:
        part = np.where(places < seen, energy, 0.0)
        # The squares of cosine and sine differ by a tone of twice the frequency.
        twice = np.fft.fft(part)[2 * np.arange(NUM_BINS) % FRAME_LENGTH]
        found[seen] = np.sqrt((part.sum() + np.abs(twice)) / 2)
    return np.stack([found[seen] for seen in sizes.tolist()]).astype(np.float32)
