"""Masking thresholds: the power below which a sound added to a clip is inaudible.

This is psychoacoustic model 1 of MPEG-1, as attacks on speech recognition use it: the
spectral peaks of each frame raise the threshold around them, on the Bark scale.

Conventions: waves within [-1, 1] at 16-bit scale (times 32768); periodic Hann frames of
2048 samples every 512, not centred, zero-padded at the end; sound pressure such
that the loudest entry of the clip has 96 dB. Powers are linear unless a name says
dB.

Source: Lin and Abdulla 2015, "Audio watermark", chapter 3, by way of Qin et al. 2019,
arXiv:1903.10346, and their code in cleverhans 3.1 (`adversarial_asr`). Its choices and
slips are kept where they affect the results of attacks: all peaks count as tonal; the
threshold in quiet is lowered by 12 dB and left out below 1 Bark; perturbations are
scaled by 8/3, clips by its root, 4.26 dB less.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from advjax.signal.extrema import greatest
from advjax.signal.fourier import stft
from advjax.signal.samples import FULL_SCALE

FRAME_LENGTH, HOP = 2048, 512
NUM_BINS = FRAME_LENGTH // 2 + 1
PEAK_DB = 96.0
APART_BARK = 0.5
"""Minimal distance of two peaks; of nearer ones, one is left out."""
MOST_MASKERS = 64
"""Number in a frame; 25 Bark have room for 51 that are half a Bark apart."""
_FLOOR = 1e-19

Frames = Float[Array, "frames bins"]


class MaskingThreshold(NamedTuple):
    """Masking threshold of a clip.

    Attributes:
        power: least audible power of every frame and bin; 96 dB are 10^9.6.
        peak: the clip's largest power before that scale, for `perturbation_power`.
    """

    power: Frames
    peak: Float[Array, ""]


def bin_frequencies_hz(sample_rate_hz: int) -> Float[np.ndarray, "bins"]:
    """Centre of every bin."""
    return np.arange(NUM_BINS) * sample_rate_hz / FRAME_LENGTH


def bark(frequency_hz):
    """Bark scale of a frequency in Hz (Zwicker and Terhardt 1980)."""
    frequency_hz = np.asarray(frequency_hz, np.float64)
    return 13 * np.arctan(0.00076 * frequency_hz) + 3.5 * np.arctan(
        (frequency_hz / 7500) ** 2
    )


def threshold_in_quiet_db(frequency_hz):
    """Threshold of hearing in quiet, in dB (Terhardt 1979), lowered by 12 dB."""
    khz = np.asarray(frequency_hz, np.float64) / 1000
    bump = 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2)
    with np.errstate(divide="ignore"):
        return 3.64 * khz**-0.8 - bump + 0.001 * khz**4 - 12


def masking_threshold(
    wave: Float[Array, "time"], *, sample_rate_hz: int
) -> MaskingThreshold:
    """Threshold beside a clip, differentiable where no peak appears or vanishes.

    Args:
        wave: within [-1, 1].
        sample_rate_hz: samples a second.
    """
    frequency_hz = bin_frequencies_hz(sample_rate_hz)
    scale = _Scale(bark(frequency_hz), threshold_in_quiet_db(frequency_hz))
    power = 8 / 3 * _power(wave)
    peak = greatest(power) + _FLOOR
    levels = PEAK_DB + 10 * (jnp.log10(power + _FLOOR) - jnp.log10(peak))
    theta = jax.vmap(lambda frame: _frame_threshold(frame, scale))(levels)
    return MaskingThreshold(theta, peak)


def perturbation_power(delta: Float[Array, "time"], peak: Float[Array, ""]) -> Frames:
    """Power of a perturbation, on the scale of its clip's threshold.

    Args:
        delta: perturbation of the wave.
        peak: of `masking_threshold`.
    """
    return 10 ** (PEAK_DB / 10) / peak * (8 / 3) ** 2 * _power(delta)


def _power(wave: Float[Array, "time"]) -> Frames:
    spectrum = stft(
        wave * FULL_SCALE,
        length=FRAME_LENGTH,
        hop=HOP,
        num_fft=FRAME_LENGTH,
        window="hann",
    )
    scaled = spectrum / FRAME_LENGTH
    return jnp.square(scaled.real) + jnp.square(scaled.imag)


class _Scale(NamedTuple):
    """Bark and threshold in quiet in dB of every bin."""

    bark: Float[np.ndarray, "bins"]
    quiet_db: Float[np.ndarray, "bins"]

    @property
    def quiet_power(self) -> Float[np.ndarray, "bins"]:
        """Power of the threshold in quiet; zero up to 1 Bark, where there is none."""
        power = 10 ** (self.quiet_db / 10)
        return np.where(self.bark > 1, power, 0.0).astype(np.float32)


def _frame_threshold(
    levels: Float[Array, "bins"], scale: _Scale
) -> Float[Array, "bins"]:
    power = 10 ** (levels / 10)
    beside = jnp.pad(power, 1)
    masker_db = 10 * jnp.log10(beside[:-2] + power + beside[2:])
    kept = _maskers(levels, masker_db, scale)
    (places,) = jnp.nonzero(kept, size=MOST_MASKERS, fill_value=NUM_BINS)
    there = places < NUM_BINS
    places = jnp.minimum(places, NUM_BINS - 1)
    barks = jnp.asarray(scale.bark, jnp.float32)
    at, db = barks[places], masker_db[places]
    away = barks[None, :] - at[:, None]
    above = -27 + 0.37 * jnp.maximum(db - 40, 0)
    spread = jnp.where(away > 0, above[:, None] * away, 27 * away)
    raised = (db - 6.025 - 0.275 * at)[:, None] + spread
    masked = jnp.where(there[:, None], 10 ** (raised / 10), 0.0)
    return masked.sum(axis=0) + jnp.asarray(scale.quiet_power)


class _Current(NamedTuple):
    """Peak that the following peaks are compared with.

    Attributes:
        place: its bin; -1 before the first peak.
        level: in dB.
        bark: of its bin.
        unchecked: True if the peak follows one that was dropped for being below the
            threshold in quiet. The reference compares it with the next peak at any
            distance.
    """

    place: Int[Array, ""]
    level: Float[Array, ""]
    bark: Float[Array, ""]
    unchecked: Bool[Array, ""]


def _maskers(levels, masker_db, scale: _Scale) -> Bool[Array, "bins"]:
    """Bins whose peaks stay when the weaker of two near ones is left out."""
    levels, masker_db = map(lax.stop_gradient, (levels, masker_db))
    inner = levels[1:-1]
    peaks = jnp.pad((inner > levels[:-2]) & (inner > levels[2:]), 1)
    barks = jnp.asarray(scale.bark, jnp.float32)
    # No peak is at 0 Hz, where the threshold is infinite.
    quiet = jnp.asarray(np.append(0.0, scale.quiet_db[1:]), jnp.float32)

    def step(now: _Current, bin):
        new = _Current(bin, masker_db[bin], barks[bin], jnp.bool_(False))
        near = (new.bark - now.bark < APART_BARK) & (now.place >= 0)
        below = near & ~now.unchecked & (quiet[now.place] > now.level)
        compared = (near | now.unchecked) & ~below
        stays = compared & (now.level >= new.level)
        following = new._replace(unchecked=below)
        following = jax.tree.map(
            lambda a, b: jnp.where(stays, a, b),
            now._replace(unchecked=jnp.bool_(False)),
            following,
        )
        ended = ~below & ~compared & (now.place >= 0)
        after = jax.tree.map(lambda a, b: jnp.where(peaks[bin], a, b), following, now)
        return after, jnp.where(peaks[bin] & ended, now.place, NUM_BINS)

    start = _Current(jnp.int32(-1), jnp.float32(0), jnp.float32(0), jnp.bool_(False))
    last, kept = lax.scan(step, start, jnp.arange(NUM_BINS, dtype=jnp.int32))
    last = jnp.where(last.place >= 0, last.place, NUM_BINS)
    found = jnp.zeros(NUM_BINS, bool).at[kept].set(True, mode="drop")
    return found.at[last].set(True, mode="drop")
