"""Transforms of waves at a classifier's input, as heuristic defences.

A transform may break a perturbation that was made without it. No transform certifies
anything, and an attacker who knows it can attack through it (Athalye et al. 2018,
arXiv:1802.00420).

Subramanian et al. 2019 ("Robustness of Adversarial Attacks in Sound Event
Classification", DCASE workshop) tried MP3, resampling, white noise and reverberation.
Their settings are not published; all defaults here are ours.

Transforms run on the host. Samples beyond [-1, 1] are clipped before and after, except
in `white_noise`. A constructor raises ValueError for an option out of range. A
transform raises it for an option that does not suit the wave's sampling rate, for
another dtype or shape, and for samples that are NaN or infinite.
"""

import io
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

Transform = Callable[
    [Float32[np.ndarray, "time"], int, np.random.Generator],
    Float32[np.ndarray, "time"],
]
"""(wave, sample_rate_hz, rng) -> wave: mono, in [-1, 1], of unchanged length.

Only `white_noise` uses the generator."""

# The rates of layer III in kbit/s, for each sampling rate in Hz.
# Source: ISO/IEC 11172-3, 2.4.2.3 (MPEG-1); ISO/IEC 13818-3, 2.4.2.3 (MPEG-2). The
# lowest three are an extension, MPEG-2.5, where LAME stops at 64 kbit/s.
_MPEG_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MP3_KBPS: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((8_000, 11_025, 12_000), _MPEG_2[:8]),
    **dict.fromkeys((16_000, 22_050, 24_000), _MPEG_2),
    **dict.fromkeys((32_000, 44_100, 48_000), _MPEG_1),
}
# Samples: 576 of LAME's encoder, 528 + 1 of any decoder. Source: LAME's technical FAQ.
MP3_DELAY = 576 + 528 + 1
VORBIS_MAX_HZ = 200_000  # of libvorbis; above it, closing the file ends the process
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)  # RFC 6716, section 2
OPUS_KBPS = (6, 256)  # limits of libsndfile for one channel
# libvorbis copies its first input to the stack, so a write of minutes ends the process.
# Source: github.com/xiph/vorbis, issue 99.
BLOCK_SAMPLES = 1 << 14


def mp3(*, kbps: int = 64) -> Transform:
    """Encode as MP3 at a constant rate and decode, aligned to the sample.

    Args:
        kbps: kbit/s, one of `MP3_KBPS` at the wave's sampling rate, which must be
            listed there too. LAME removes high frequencies at low rates: above 8 kHz at
            32 kbit/s, above 11 kHz at 48, none at 64 (measured on noise at 32 kHz).
    """
    allowed = sorted(set(_MPEG_1 + _MPEG_2))
    if kbps not in allowed:
        raise ValueError(f"kbps: MP3 has no {kbps} kbit/s; choose one of {allowed}")

    def change(wave, sample_rate_hz):
        decoded = _decode(_mp3_bytes(wave, sample_rate_hz, kbps))
        # LAME writes delay and padding into a first frame, and the decoder removes
        # both, unless the frames of a low rate are too small for this information.
        return decoded[MP3_DELAY:] if len(decoded) > len(wave) else decoded

    return _deterministic(change)


def ogg_vorbis(*, quality: float = 4.0) -> Transform:
    """Encode as Ogg Vorbis and decode, aligned to the sample.

    Args:
        quality: from 0 to 10, as for oggenc. The rate varies: white noise at 32 kHz
            takes 48 kbit/s at 0, 70 at 4 and 192 at 10 (measured).
    """
    _check("quality", quality, 0, 10)
    level = 1 - quality / 10

    def change(wave, sample_rate_hz):
        if sample_rate_hz > VORBIS_MAX_HZ:
            raise ValueError(
                f"Vorbis takes at most {VORBIS_MAX_HZ} Hz; resample the wave, which "
                f"has {sample_rate_hz} Hz"
            )
        return _decode(_encode(wave, sample_rate_hz, "OGG", "VORBIS", level))

    return _deterministic(change)


def opus(*, kbps: float = 32.0) -> Transform:
    """Encode as Opus and decode.

    A wave at a rate that is not in `OPUS_RATES_HZ` is coded at the next one above, at
    most 48 kHz, and resampled back. The result is aligned to the sample, except that
    below 50 kbit/s the speech codec inside Opus makes a wave at 48 kHz early by up to
    three samples (measured).

    Args:
        kbps: target rate in kbit/s, from 6 to 256; the actual rate varies.
    """
    _check("kbps", kbps, *OPUS_KBPS)

    def change(wave, sample_rate_hz):
        above = [rate for rate in OPUS_RATES_HZ if rate >= sample_rate_hz]
        rate_hz = min(above, default=max(OPUS_RATES_HZ))
        data = _opus_bytes(_resample(wave, sample_rate_hz, rate_hz), rate_hz, kbps)
        return _resample(_decode(data), rate_hz, sample_rate_hz)

    return _deterministic(change)


def resample(*, rate_hz: int = 16_000) -> Transform:
    """Resample to a lower rate and back, which removes everything above `rate_hz / 2`.

    SciPy's polyphase filter (Kaiser window, beta 5); its transition extends a sixth of
    that frequency to either side.

    Args:
        rate_hz: Hz, below the rate of the wave.
    """
    _check("rate_hz", rate_hz, 1, 1_000_000, whole=True)

    def change(wave, sample_rate_hz):
        if rate_hz >= sample_rate_hz:
            raise ValueError(
                f"rate_hz={rate_hz} is not below the wave's rate of {sample_rate_hz} "
                "Hz; choose a lower one"
            )
        lower = _resample(wave, sample_rate_hz, rate_hz)
        return _resample(lower, rate_hz, sample_rate_hz)

    return _deterministic(change)


def white_noise(*, snr_db: float = 30.0) -> Transform:
    """Add new Gaussian noise, at exactly this SNR in every clip.

    The result is not clipped, which would change the SNR. Silence is returned
    unchanged.

    Args:
        snr_db: power of the wave over power of the noise in dB, from -100 to 100.
    """
    _check("snr_db", snr_db, -100, 100)

    def transform(wave, sample_rate_hz, rng):
        del sample_rate_hz
        _check_wave(wave)
        if not wave.any():
            return wave.copy()
        noise = rng.standard_normal(len(wave))
        noise *= _rms(wave) / _rms(noise) * 10 ** (-snr_db / 20)
        return (wave + noise).astype(np.float32)

    return transform


def reverberation(
    *, rt60_s: float = 0.3, direct_to_reverberant_db: float = 0.0, seed: int = 0
) -> Transform:
    """Add the reverberation of a synthetic room, at unchanged root mean square.

    Polack's model: the direct path is followed by white Gaussian noise that decays
    exponentially. A real room differs: it has early echoes, and its frequencies decay
    at different rates. The direct path has no delay, and the reverberation is cut at
    the end of the clip. Every clip at one sampling rate has the same room.

    Args:
        rt60_s: seconds, 0.01 to 20, in which the noise falls by 60 dB; there it ends.
        direct_to_reverberant_db: energy of the direct path over that of the noise, from
            -100 to 100. At 0 dB the listener is at the critical distance.
        seed: of the room.

    Source: J.-D. Polack, La transmission de l'énergie sonore dans les salles, thesis,
    Université du Maine, 1988.
    """
    _check("rt60_s", rt60_s, 0.01, 20)
    _check("direct_to_reverberant_db", direct_to_reverberant_db, -100, 100)
    _check("seed", seed, 0, 2**63 - 1, whole=True)

    def change(wave, sample_rate_hz):
        from scipy.signal import fftconvolve

        time_s = np.arange(1, math.ceil(rt60_s * sample_rate_hz) + 1) / sample_rate_hz
        tail = np.random.default_rng(seed).standard_normal(len(time_s))
        tail *= 10 ** (-3 * time_s / rt60_s)
        tail *= 10 ** (-direct_to_reverberant_db / 20) / np.linalg.norm(tail)
        room = np.concatenate([[1.0], tail])
        wet = fftconvolve(wave.astype(np.float64), room)[: len(wave)]
        loudness = _rms(wet)
        return wet * (_rms(wave) / loudness) if loudness else wet

    return _deterministic(change)


def low_pass(*, cutoff_hz: float = 8_000.0, order: int = 4) -> Transform:
    """Apply a Butterworth low-pass filter, forwards and backwards.

    Args:
        cutoff_hz: Hz, where the wave is 6 dB down; below half the sampling rate.
        order: of one pass, from 1 to 12. Both passes together fall by 12 dB per octave
            and order.
    """
    _check("cutoff_hz", cutoff_hz, 1, 1_000_000)
    _check("order", order, 1, 12, whole=True)

    def change(wave, sample_rate_hz):
        from scipy.signal import butter, sosfiltfilt

        if cutoff_hz >= sample_rate_hz / 2:
            raise ValueError(
                f"cutoff_hz={cutoff_hz:g} is not below {sample_rate_hz / 2:g} Hz, half "
                "the wave's sampling rate; choose a lower one"
            )
        sections = butter(order, cutoff_hz, fs=sample_rate_hz, output="sos")
        # SciPy's own padding, reduced for clips that are shorter.
        padding = min(3 * (2 * len(sections) + 1), len(wave) - 1)
        return sosfiltfilt(sections, wave, padlen=padding)

    return _deterministic(change)


def quantise(*, bits: int = 8) -> Transform:
    """Round to `2**bits - 1` levels from -1 to 1, of which 0 is one.

    The levels are `1 / (2**(bits - 1) - 1)` apart; no sample moves by more than half of
    that.

    Args:
        bits: from 2 to 16.
    """
    _check("bits", bits, 2, 16, whole=True)
    full_scale = 2 ** (bits - 1) - 1

    def change(wave, sample_rate_hz):
        del sample_rate_hz
        return np.rint(wave.astype(np.float64) * full_scale) / full_scale

    return _deterministic(change)


TRANSFORMS: dict[str, Callable[..., Transform]] = {
    "mp3": mp3,
    "vorbis": ogg_vorbis,
    "opus": opus,
    "resample": resample,
    "white_noise": white_noise,
    "reverberation": reverberation,
    "low_pass": low_pass,
    "quantise": quantise,
}

SMALL_ROOM = "reverberation(rt60_s=0.3)"  # a furnished living room or office
MEDIUM_ROOM = "reverberation(rt60_s=0.6)"  # a class room

SUITE: tuple[str, ...] = (
    *(f"mp3(kbps={kbps})" for kbps in (48, 64, 128, 256)),
    *(f"vorbis(quality={quality})" for quality in (0, 4)),
    *(f"opus(kbps={kbps})" for kbps in (16, 64)),
    *(f"resample(rate_hz={rate_hz})" for rate_hz in (8_000, 16_000, 22_050)),
    *(f"white_noise(snr_db={snr_db})" for snr_db in (20, 30, 40)),
    SMALL_ROOM,
    MEDIUM_ROOM,
    *(f"low_pass(cutoff_hz={cutoff_hz})" for cutoff_hz in (4_000, 8_000)),
    *(f"quantise(bits={bits})" for bits in (8, 10)),
)
"""The transforms of a comparison, for waves at 32, 44.1 or 48 kHz.

Lower rates do not support all of them: MP3 at 256 kbit/s, resampling via 22.05 kHz."""


def _deterministic(change: Callable[[np.ndarray, int], np.ndarray]) -> Transform:
    """`change` as a transform that checks the wave and fits and clips the result."""

    def transform(wave, sample_rate_hz, rng):
        del rng
        _check_wave(wave)
        if not wave.size:
            return wave.copy()
        # LAME ends the process for samples far beyond the bounds.
        changed = change(np.clip(wave, -1.0, 1.0), sample_rate_hz)[: len(wave)]
        changed = np.pad(changed, (0, len(wave) - len(changed)))
        return np.clip(changed, -1.0, 1.0).astype(np.float32)

    return transform


def _check_wave(wave: np.ndarray) -> None:
    if wave.ndim != 1 or wave.dtype != np.float32:
        raise ValueError(
            f"a transform takes one mono wave [time] of float32, got {wave.dtype} "
            f"{list(wave.shape)}; average its channels and use astype(np.float32)"
        )
    if not np.isfinite(wave).all():
        raise ValueError("the wave has NaN or infinite samples; leave the clip out")


def _check(
    name: str, value: float, least: float, most: float, *, whole: bool = False
) -> None:
    if not (least <= value <= most and (isinstance(value, int) or not whole)):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name} must be a {kind} from {least} to {most}, got {value}")


def _rms(wave: np.ndarray) -> float:
    return math.sqrt(np.mean(np.square(wave, dtype=np.float64)))


def _resample(wave: np.ndarray, rate_hz: int, new_rate_hz: int) -> np.ndarray:
    """The wave at another rate, `ceil(time * new_rate / rate)` samples long."""
    from scipy.signal import resample_poly

    divisor = math.gcd(rate_hz, new_rate_hz)
    return resample_poly(wave, new_rate_hz // divisor, rate_hz // divisor)


def _mp3_bytes(wave: np.ndarray, sample_rate_hz: int, kbps: int) -> bytes:
    """The wave as an MP3 file at a constant rate."""
    if sample_rate_hz not in MP3_KBPS:
        raise ValueError(
            f"MP3 has no sampling rate of {sample_rate_hz} Hz; resample the wave to "
            f"one of {list(MP3_KBPS)}"
        )
    allowed = MP3_KBPS[sample_rate_hz]
    if kbps not in allowed:
        raise ValueError(
            f"MP3 at {sample_rate_hz} Hz has no {kbps} kbit/s; choose one of {allowed}"
        )
    # libsndfile takes int(most - level * (most - least)) kbit/s. The half keeps
    # rounding from giving the rate below.
    most, least = max(allowed), min(allowed)
    level = max(0.0, (most - kbps - 0.5) / (most - least))
    return _encode(wave, sample_rate_hz, "MP3", "MPEG_LAYER_III", level, "CONSTANT")


def _opus_bytes(wave: np.ndarray, sample_rate_hz: int, kbps: float) -> bytes:
    """The wave, at one of `OPUS_RATES_HZ`, as an Opus file."""
    # libsndfile takes most - level * (most - least) kbit/s.
    least, most = OPUS_KBPS
    level = (most - kbps) / (most - least)
    return _encode(wave, sample_rate_hz, "OGG", "OPUS", level)


def _encode(
    wave: np.ndarray,
    sample_rate_hz: int,
    container: str,
    subtype: str,
    level: float,
    mode: str | None = None,
) -> bytes:
    """The wave as a file; `level` is libsndfile's, from 0 (best) to 1 (smallest)."""
    import soundfile

    data = io.BytesIO()
    kind = {"channels": 1, "subtype": subtype, "format": container}
    size = {"compression_level": level, "bitrate_mode": mode}
    with soundfile.SoundFile(data, "w", sample_rate_hz, **kind, **size) as file:
        for start in range(0, len(wave), BLOCK_SAMPLES):
            file.write(wave[start : start + BLOCK_SAMPLES])
    return data.getvalue()


def _decode(data: bytes) -> np.ndarray:
    import soundfile

    return soundfile.read(io.BytesIO(data), dtype="float32")[0]
