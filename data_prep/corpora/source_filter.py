"""Source-filter speech synthesis: pulses and noise through a moving vocal tract.

    tracks  ->  glottal pulses, breath  ->  all-pole tract, frame by frame  ->  speech
                frication noise         ->  one resonance                   /

Conventions: levels are linear amplitudes where a vowel's voicing is 1; tracks are
sampled every `CONTROL` samples; the tract's frames are `HOP` samples apart. The tract
is a product of digital resonators (Klatt 1980), so its response in a frame is the
inverse of the transform of a short polynomial. A whole utterance is one batch of
transforms, and neighbouring frames cross-fade under their Hann windows.
"""

from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Complex64, Float, Float32, Inexact

from data_prep.corpora.base import SAMPLE_RATE_HZ

CONTROL = 64  # samples between points of a track: 4 ms
HOP = 2 * CONTROL  # samples between frames of the vocal tract: 8 ms
WINDOW = 2 * HOP  # a Hann window at half overlap sums to one
NUM_FFT = 6 * HOP  # lets the tract ring for 32 ms before it wraps around
HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)

# Formants 4 to 8 of a uniform 17.5 cm tube closed at one end (Fant 1960): 1 kHz apart.
# All that fit below 8 kHz, so that the poles alone give the right spectral slope.
UPPER_FORMANTS_HZ = np.array([3500.0, 4500.0, 5500.0, 6500.0, 7500.0])
# Klatt 1980, table I: B1, B2, B3; above them, widths that grow with frequency.
LOWER_BANDWIDTHS_HZ = np.array([50.0, 70.0, 110.0])
UPPER_BANDWIDTHS_HZ = np.array([250.0, 300.0, 400.0, 500.0, 600.0])

# Rosenberg 1971: pulses that open for 40 % and close for 16 % of the period sounded
# most natural. The ratio is constant; the sum is a trait of the speaker.
OPEN_QUOTIENT, OPENING_SHARE = 0.56, 0.40 / 0.56


class Speaker(NamedTuple):
    """Traits of a speaker, the same in all utterances."""

    f0_hz: float
    tract_scale: float  # of every formant: 17.5 cm / tract length
    open_quotient: float
    tilt: float  # pole of a one-pole low-pass: 0 pressed, 0.6 soft
    breathiness: float  # aspiration that accompanies voicing
    rate: float  # speed of articulation
    jitter: float  # standard deviation of the relative period between cycles
    formant_offsets: Float[np.ndarray, "8"]  # relative, one a formant


class Tracks(NamedTuple):
    """Controls of an utterance, one row every 4 ms."""

    formants_hz: Float[np.ndarray, "points 3"]
    octaves: Float[np.ndarray, "points"]  # of f0 above the speaker's own
    voicing: Float[np.ndarray, "points"]
    aspiration: Float[np.ndarray, "points"]
    frication: Float[np.ndarray, "points"]
    noise_hz: Float[np.ndarray, "points"]
    noise_width_hz: Float[np.ndarray, "points"]


def vocalise(
    tracks: Tracks, traits: Speaker, rng: np.random.Generator
) -> Float[np.ndarray, "time"]:
    """Speech in an empty room: glottal pulses and noises through a moving tract."""
    pulses, flow = glottal_pulses(tracks, traits, rng)
    noise = rng.standard_normal((2, len(pulses)), dtype=np.float32)
    breath = to_samples(tracks.aspiration, len(pulses)) + traits.breathiness * flow
    spectra = scipy.fft.rfft(frames(pulses + breath * noise[0]), NUM_FFT, axis=1)
    spectra /= tract_poles(tracks.formants_hz[::2], traits)

    hissing = np.flatnonzero(tracks.frication[::2] > 1e-3)
    shape = 1.0 / poles(
        traits.tract_scale * tracks.noise_hz[::2][hissing, None],
        tracks.noise_width_hz[::2][hissing, None],
    )
    power = np.mean(np.abs(shape) ** 2, axis=1)
    shape *= (tracks.frication[::2][hissing] / np.sqrt(power))[:, None]
    spectra[hissing] += shape * scipy.fft.rfft(
        frames(noise[1])[hissing], NUM_FFT, axis=1
    )
    return overlap_add(spectra)[: len(pulses)]


def glottal_pulses(
    tracks: Tracks, traits: Speaker, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "time"], Float[np.ndarray, "time"]]:
    """Derivative of the glottal flow (unit RMS in a vowel), and the flow itself.

    The derivative models radiation from the lips. Pulses have Rosenberg's trigonometric
    shape (1971, type B): they open like a raised cosine and close like a quarter
    cosine. Period and strength vary from cycle to cycle (jitter, shimmer).
    """
    num_samples = (len(tracks.octaves) - 1) * CONTROL
    flutter = traits.jitter * rng.standard_normal(len(tracks.octaves))
    f0_hz = traits.f0_hz * 2.0**tracks.octaves * (1.0 + flutter)
    step = to_samples(f0_hz / SAMPLE_RATE_HZ, num_samples)
    cycles = np.cumsum(step)
    number = cycles.astype(np.int64)
    flow = rosenberg_flow(traits.open_quotient)
    table = len(flow)
    flow = flow[((cycles - number) * table).astype(np.int64)]
    slope = np.diff(flow, prepend=0.0) / step
    slope /= slope.std()
    shimmer = 1.0 + 0.05 * rng.standard_normal(number[-1] + 1)
    voicing = to_samples(tracks.voicing, num_samples)
    return voicing * shimmer[number] * slope, voicing * flow


def rosenberg_flow(
    open_quotient: float, num_points: int = 4096
) -> Float[np.ndarray, "points"]:
    """One period of glottal flow, between 0 (closed) and 1."""
    phase = np.arange(num_points) / num_points / open_quotient
    opening = 0.5 - 0.5 * np.cos(np.pi * phase / OPENING_SHARE)
    closing = np.cos(0.5 * np.pi * (phase - OPENING_SHARE) / (1.0 - OPENING_SHARE))
    return np.where(phase < OPENING_SHARE, opening, np.where(phase < 1.0, closing, 0.0))


def to_samples(track: Float[np.ndarray, "points"], num_samples: int) -> np.ndarray:
    """A track at every sample, by linear interpolation between its points."""
    return np.interp(np.arange(num_samples) / CONTROL, np.arange(len(track)), track)


def frames(
    wave: Inexact[np.ndarray, "time"],
) -> Float32[np.ndarray, "frames window"]:
    """Hann-windowed frames, frame j centred on sample j * HOP."""
    padded = np.pad(wave.astype(np.float32), HOP)
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * HANN


def overlap_add(
    spectra: Complex64[np.ndarray, "frames bins"],
) -> Float32[np.ndarray, "time"]:
    """Sum of the waves of the frames, each at its place; the inverse of `frames`."""
    waves = scipy.fft.irfft(spectra, NUM_FFT, axis=1)
    num_hops = NUM_FFT // HOP
    total = np.zeros((len(waves) + num_hops - 1, HOP), np.float32)
    for hop in range(num_hops):
        total[hop : hop + len(waves)] += waves[:, hop * HOP : (hop + 1) * HOP]
    return total.ravel()[HOP : len(waves) * HOP]


def poles(
    frequencies_hz: Float[np.ndarray, "frames formants"],
    bandwidths_hz: Float[np.ndarray, "#frames formants"],
    *,
    tilt: float = 0.0,
) -> Complex64[np.ndarray, "frames bins"]:
    """Denominator of a cascade of digital resonators; 1 at 0 Hz.

    Each resonator is 1 - 2 r cos(w) z^-1 + r^2 z^-2, r = exp(-pi bandwidth / rate)
    (Klatt
    1980, equation 2); `tilt` adds the pole of a one-pole low-pass.
    """
    radius = np.exp(-np.pi * bandwidths_hz / SAMPLE_RATE_HZ)
    first = -2.0 * radius * np.cos(2.0 * np.pi * frequencies_hz / SAMPLE_RATE_HZ)
    second = np.broadcast_to(radius**2, first.shape)
    num_frames, num_formants = first.shape
    polynomial = np.zeros((num_frames, 2 * num_formants + 2))
    polynomial[:, 0], polynomial[:, 1] = 1.0, -tilt
    for formant in range(num_formants):
        longer = polynomial.copy()
        longer[:, 1:] += first[:, formant, None] * polynomial[:, :-1]
        longer[:, 2:] += second[:, formant, None] * polynomial[:, :-2]
        polynomial = longer
    polynomial /= polynomial.sum(axis=1, keepdims=True)
    return scipy.fft.rfft(polynomial.astype(np.float32), NUM_FFT, axis=1)


def tract_poles(
    formants_hz: Float[np.ndarray, "frames 3"], traits: Speaker
) -> Complex64[np.ndarray, "frames bins"]:
    """Denominator of a vocal tract's filter, from the formants of a standard tract.

    The tract's length scales all formants, and the speaker's offsets move each. A
    formant above 7.5 kHz is moved there and gets wider, instead of folding over.
    """
    scale = traits.tract_scale * (1.0 + traits.formant_offsets)
    upper = UPPER_FORMANTS_HZ * scale[3:]
    beyond = np.maximum(upper - 7500.0, 0.0)
    # Two factors: single precision loses the low end of a product of eight.
    lower_poles = poles(
        formants_hz * scale[:3], LOWER_BANDWIDTHS_HZ[None], tilt=traits.tilt
    )
    return lower_poles * poles(
        (upper - beyond)[None], (UPPER_BANDWIDTHS_HZ + 2.0 * beyond)[None]
    )
