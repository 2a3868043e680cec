"""Synthetic speakers: seeded pseudo-speech that needs no download.

No audio here was recorded. Every utterance is a random string of consonants and vowels,
spoken by a source-filter model (Fant 1960) and placed in a random room, channel and
background. It exercises the pipeline, and shows nothing about robustness on real
voices.

    speaker_traits, vary_traits   traits of a speaker, and their change in an utterance
    babble, articulate            segments, then smooth tracks
    source_filter.vocalise        sound of the tracks
    record                        room, channel, background and level of the session

Every utterance is a function of (seed, speaker_spread, speaker, utterance) alone. The
numbers of speakers and minutes decide which utterances exist, never their content.
"""

import functools
from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Float, Float32
from scipy.ndimage import convolve1d

from data_prep.corpora.base import (
    SAMPLE_RATE_HZ,
    SPLITS,
    Corpus,
    Utterance,
    split_by_order,
)
from data_prep.corpora.source_filter import (
    CONTROL,
    OPEN_QUOTIENT,
    Speaker,
    Tracks,
    vocalise,
)

MOST_MINUTES = 60_000  # 1,000 hours, some 650,000 utterances
MOST_SPREAD = 10.0  # above, tract lengths cannot be computed
MEAN_UTTERANCE_S, UTTERANCE_RANGE_S = 5.5, 5.0  # 3 to 8 s

# Roberts 2018: powers of the plastic number spread any number of points over a square.
PLASTIC = np.array([0.7548776662466927, 0.5698402909980532])
GOLDEN = 0.6180339887498949  # the same on a line

# Peterson and Barney 1952, table II, men: F1, F2, F3 in Hz.
VOWELS_HZ = {
    "i": (270, 2290, 3010),
    "I": (390, 1990, 2550),
    "E": (530, 1840, 2480),
    "ae": (660, 1720, 2410),
    "a": (730, 1090, 2440),
    "O": (570, 840, 2410),
    "U": (440, 1020, 2240),
    "u": (300, 870, 2240),
    "A": (640, 1190, 2390),
    "er": (490, 1350, 1690),
}


class Segment(NamedTuple):
    """A stretch of constant articulation, smoothed into its neighbours."""

    seconds: float
    formants_hz: tuple[float, float, float]
    voicing: float = 0.0
    aspiration: float = 0.0  # noise through the whole tract
    frication: float = 0.0  # noise through its own resonance
    noise_hz: float = 4000.0  # centre and width of that resonance
    noise_width_hz: float = 2000.0


def _stop(
    formants_hz: tuple[float, float, float], noise_hz: float, *, voiced: bool
) -> tuple[Segment, ...]:
    """Closure, burst and, if voiceless, the aspiration after it."""
    closed = (200.0, *formants_hz[1:])
    burst = Segment(0.012, formants_hz, 0.0, 0.0, 0.5, noise_hz, 1500.0)
    if voiced:
        return Segment(0.055, closed, voicing=0.12), burst
    return Segment(0.065, closed), burst, Segment(0.035, formants_hz, aspiration=0.4)


# F1 to F3 follow Klatt 1980, table III (a consonant before a front vowel). Durations
# and noise resonances are round numbers of our choice.
CONSONANTS = (
    _stop((400, 1100, 2150), 900, voiced=False),  # p
    _stop((400, 1600, 2600), 4200, voiced=False),  # t
    _stop((300, 1990, 2850), 2100, voiced=False),  # k
    _stop((200, 1100, 2150), 900, voiced=True),  # b
    _stop((200, 1600, 2600), 4200, voiced=True),  # d
    _stop((200, 1990, 2850), 2100, voiced=True),  # g
    (Segment(0.09, (340, 1100, 2080), 0.0, 0.05, 0.08, 5000, 6000),),  # f
    (Segment(0.10, (320, 1390, 2530), 0.0, 0.00, 0.35, 6000, 1800),),  # s
    (Segment(0.10, (300, 1840, 2750), 0.0, 0.00, 0.35, 3200, 1500),),  # sh
    (Segment(0.06, (500, 1500, 2500), 0.0, 0.40),),  # h
    (Segment(0.06, (220, 1100, 2080), 0.4, 0.02, 0.05, 5000, 6000),),  # v
    (Segment(0.07, (240, 1390, 2530), 0.4, 0.00, 0.18, 6000, 1800),),  # z
    (Segment(0.06, (480, 1270, 2130), 0.4),),  # m
    (Segment(0.06, (480, 1340, 2470), 0.4),),  # n
    (Segment(0.06, (310, 1050, 2880), 0.6),),  # l
    (Segment(0.06, (310, 1060, 1380), 0.6),),  # r
    (Segment(0.06, (290, 610, 2150), 0.6),),  # w
    (Segment(0.06, (260, 2070, 3020), 0.6),),  # y
)
PAUSE_HZ = (500.0, 1500.0, 2500.0)  # the uniform tube at rest


def voices(
    *,
    seed: int = 0,
    num_speakers: int = 10,
    minutes_per_speaker: float = 3.0,
    speaker_spread: float = 1.5,
) -> Corpus:
    """Synthetic speakers at 16 kHz; the label is the speaker.

    Args:
        seed: of all utterances; another seed gives other speakers.
        num_speakers: number of labels.
        minutes_per_speaker: speech of each, in utterances of 3 to 8 s (within a few
            seconds).
        speaker_spread: scales the distances of the speakers' traits from the
            population's mean. The variation between the utterances of one speaker
            stays. 0 makes all speakers alike; larger is easier.

    Raises:
        ValueError: fewer than two speakers, a negative seed or spread, or too few
            minutes for an utterance in each split.
    """
    if num_speakers < 2:
        raise ValueError(
            f"num_speakers={num_speakers} leaves fewer than two classes: ask for 2 or "
            "more (10 is the default)"
        )
    if seed < 0 or not 0 <= speaker_spread <= MOST_SPREAD:
        raise ValueError(
            f"seed={seed} and speaker_spread={speaker_spread} must be finite and not "
            f"negative, and the spread at most {MOST_SPREAD:g}"
        )
    if not 0.3 <= minutes_per_speaker < np.inf:
        raise ValueError(
            f"minutes_per_speaker={minutes_per_speaker} does not give each split an "
            "utterance: ask for 0.3 or more"
        )
    if num_speakers * minutes_per_speaker > MOST_MINUTES:
        raise ValueError(
            f"num_speakers={num_speakers} times minutes_per_speaker="
            f"{minutes_per_speaker} is more speech than the {MOST_MINUTES:,} minutes "
            "that can be listed: ask for less"
        )
    num_utterances = round(60.0 * minutes_per_speaker / MEAN_UTTERANCE_S)
    labels = tuple(f"speaker-{index:02d}" for index in range(num_speakers))
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for index, label in enumerate(labels):
        listed = [
            Utterance(
                f"voices-{index:02d}-{number:04d}",
                index,
                label,
                functools.partial(speak, seed, speaker_spread, index, number),
            )
            for number in range(num_utterances)
        ]
        for split, part in split_by_order(listed, name=label).items():
            splits[split] += part
    return Corpus(
        name="voices",
        labels=labels,
        splits={split: tuple(utterances) for split, utterances in splits.items()},
    )


def speak(
    seed: int, speaker_spread: float, speaker: int, utterance: int
) -> Float32[np.ndarray, "time"]:
    """One utterance of one speaker, 3 to 8 s at 16 kHz."""
    rng = np.random.default_rng([seed, speaker, utterance])
    traits = vary_traits(speaker_traits(seed, speaker_spread, speaker), rng)
    # A low-discrepancy sequence: any run of durations has nearly the mean.
    place = (GOLDEN * utterance + 0.5) % 1.0
    seconds = MEAN_UTTERANCE_S + UTTERANCE_RANGE_S * (place - 0.5)
    tracks = articulate(babble(seconds, traits.rate, rng), rng)
    return record(vocalise(tracks, traits, rng), rng)


def speaker_traits(seed: int, speaker_spread: float, speaker: int) -> Speaker:
    """Traits of a speaker: the population's mean plus a scaled difference.

    Tract size and pitch come from a low-discrepancy sequence over the speakers, so that
    every seed gives about the same distances between neighbours. The other traits are
    independent. Long tracts tend to have low voices. At a spread of 1 the voices lie
    between 105 and 260 Hz and the tracts between 14.5 and 18 cm: from somewhat below
    the average man to somewhat above the average woman (Peterson and Barney 1952, Fant
    1960).
    """
    # Trailing zeros do not change a seed sequence: these differ from all utterances'.
    shift = np.random.default_rng([seed, 0, 0, 2]).random(2)
    rng = np.random.default_rng([seed, speaker, 0, 1])
    size, pitch = speaker_spread * (2.0 * ((shift + speaker * PLASTIC) % 1.0) - 1.0)
    other = speaker_spread * np.clip(rng.standard_normal(13), -2.0, 2.0)
    return Speaker(
        f0_hz=165.0 * 2.0 ** (0.35 * size + 0.30 * pitch),
        tract_scale=1.08 * 1.12**size,
        open_quotient=float(np.clip(OPEN_QUOTIENT + 0.06 * other[0], 0.35, 0.85)),
        tilt=float(np.clip(0.3 + 0.12 * other[1], 0.0, 0.7)),
        breathiness=0.03 * 1.7 ** other[2],
        rate=1.12 ** other[3],
        jitter=0.008 * 1.5 ** other[4],
        formant_offsets=0.03 * other[5:],
    )


def vary_traits(traits: Speaker, rng: np.random.Generator) -> Speaker:
    """Traits in one utterance, with random mood, effort and posture."""
    octaves, tract, tilt, breath, rate = rng.standard_normal(5)
    return traits._replace(
        f0_hz=traits.f0_hz * 2.0 ** (0.10 * octaves),
        tract_scale=traits.tract_scale * 1.015**tract,
        tilt=float(np.clip(traits.tilt + 0.08 * tilt, 0.0, 0.75)),
        breathiness=traits.breathiness * 1.4**breath,
        rate=traits.rate * 1.1**rate,
    )


def babble(seconds: float, rate: float, rng: np.random.Generator) -> list[Segment]:
    """Segments of about `seconds` in all: words of 1 to 3 syllables, short pauses."""
    vowels = list(VOWELS_HZ.values())
    segments = []

    def say(segment: Segment) -> float:
        length = segment.seconds / rate * np.exp(0.2 * rng.standard_normal())
        segments.append(segment._replace(seconds=length))
        return length

    said = say(Segment(0.1, PAUSE_HZ))
    while said < seconds - 0.1:
        for _ in range(rng.integers(1, 4)):
            if rng.random() < 0.9:
                said += sum(map(say, CONSONANTS[rng.integers(len(CONSONANTS))]))
            vowel = vowels[rng.integers(len(vowels))]
            said += say(Segment(0.12, vowel, voicing=1.0))
            if rng.random() < 0.3:
                said += sum(map(say, CONSONANTS[rng.integers(len(CONSONANTS))]))
        if rng.random() < 0.25:
            said += say(Segment(0.12, PAUSE_HZ))
    say(Segment(0.1, PAUSE_HZ))
    return segments


def articulate(segments: list[Segment], rng: np.random.Generator) -> Tracks:
    """Smooth tracks through the segments, with a falling, accented f0.

    Formants glide over 60 ms on a logarithmic scale, levels over 12 ms. The f0 falls by
    a quarter octave over the utterance. Each segment draws its own accent and loudness.
    """
    ends = np.cumsum([each.seconds for each in segments]) * SAMPLE_RATE_HZ / CONTROL
    num_points = int(ends[-1]) | 1  # odd: every second point is a frame of the tract
    where = np.searchsorted(ends, np.arange(num_points), side="right")
    where = np.minimum(where, len(segments) - 1)
    accents = 0.12 * rng.standard_normal(len(segments))
    loudness = np.exp(0.25 * rng.standard_normal(len(segments)))

    def level(name: str) -> np.ndarray:
        values = loudness * [getattr(each, name) for each in segments]
        return smooth(values[where], 3)

    formants = np.log([each.formants_hz for each in segments])[where]
    return Tracks(
        formants_hz=np.exp(smooth(formants, 15)),
        octaves=smooth(accents[where], 41) + np.linspace(0.125, -0.125, num_points),
        voicing=level("voicing"),
        aspiration=level("aspiration"),
        frication=level("frication"),
        noise_hz=np.array([each.noise_hz for each in segments])[where],
        noise_width_hz=np.array([each.noise_width_hz for each in segments])[where],
    )


def smooth(
    track: Float[np.ndarray, "points *columns"], num_points: int
) -> Float[np.ndarray, "points *columns"]:
    """A track averaged over time under a Hann window of `num_points`."""
    window = np.hanning(num_points + 2)[1:-1]
    return convolve1d(track, window / window.sum(), axis=0, mode="nearest")


def record(
    speech: Float32[np.ndarray, "time"], rng: np.random.Generator
) -> Float32[np.ndarray, "time"]:
    """Speech with the room, background, channel and level of one session.

    The room is a direct path and a tail of noise (reverberation time 0.1 to 0.4 s,
    energy 3 to 15 dB below the direct path). The background is stationary noise that
    falls by 0 to 6 dB an octave, at an SNR of 10 to 30 dB. The channel is a random
    slope and ripple in dB. The RMS level is -32 to -20 dB of full scale, or lower if
    the peak would exceed full scale.
    """
    reverberation_s, room_db = rng.uniform(0.1, 0.4), rng.uniform(-15.0, -3.0)
    snr_db, level_db = rng.uniform(10.0, 30.0), rng.uniform(-32.0, -20.0)
    length = len(speech)
    tail = rng.standard_normal(int(reverberation_s * SAMPLE_RATE_HZ), dtype=np.float32)
    tail *= np.logspace(0.0, -3.0, len(tail), dtype=np.float32)  # to -60 dB
    tail *= 10.0 ** (room_db / 20.0) / np.linalg.norm(tail)
    tail[0] = 1.0
    num_fft = scipy.fft.next_fast_len(length + len(tail), real=True)

    octaves = octaves_above_1khz(num_fft)
    background = scipy.fft.rfft(rng.standard_normal(num_fft, dtype=np.float32))
    background *= 2.0 ** (-rng.uniform(0.0, 1.0) * octaves)
    voice = scipy.fft.rfft(speech, num_fft) * scipy.fft.rfft(tail, num_fft)
    snr = np.linalg.norm(voice) / np.linalg.norm(background)
    background *= snr * 10.0 ** (-snr_db / 20.0)

    slope, depth, periods, phase = rng.uniform(
        (-2.0, 0.0, 0.3, 0.0), (2.0, 4.0, 1.0, 2.0 * np.pi)
    )
    channel_db = slope * octaves + depth * np.cos(periods * octaves + phase)
    channel = np.power(10.0, channel_db / 20.0, dtype=np.float32)
    wave = scipy.fft.irfft((voice + background) * channel, num_fft)[:length]
    gain = 10.0 ** (level_db / 20.0) / np.sqrt(np.mean(wave**2))
    return wave * np.float32(min(gain, 0.99 / np.abs(wave).max()))


def octaves_above_1khz(num_fft: int) -> Float32[np.ndarray, "bins"]:
    """Octaves from 1 kHz to each transform bin; at least -4 (62 Hz)."""
    frequencies_hz = scipy.fft.rfftfreq(num_fft, 1.0 / SAMPLE_RATE_HZ)
    return np.log2(np.maximum(frequencies_hz / 1000.0, 2.0**-4)).astype(np.float32)
