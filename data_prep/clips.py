"""One recording as one wave: decoding, the activity cut, 16-bit rounding.

Every check of a file is here, so that a bad one is found when it is read and named by
`UnreadableAudio`, whatever the corpus. libsndfile reports a damaged FLAC stream by
itself, but gives what is left of a shortened WAV, AIFF or Ogg file without a word;
those containers are therefore read again at the byte level.
"""

import math
import os
import pathlib
import zlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, Int16

from advjax.runtime.text import printable

BLOCK_FRAMES = 1 << 20
SAMPLE_RATES_HZ = (1_000, 1_000_000)  # outside, the header is damaged
# A float file is allowed to overshoot full scale and is clipped; one that reaches this
# was written in integer units, and clipping would leave nothing but a square wave.
UNSCALED_PEAK = 64.0
# Writers that cannot seek back (a pipe) leave a size at the top of the range instead.
UNKNOWN_CHUNK_SIZE = 0x7FFF_0000
OPEN_ENDED_FRAMES = 2**62  # libsndfile's answer for a FLAC stream that went to a pipe
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class UnreadableAudio(ValueError):
    """A recording that cannot be used: `path` and the `reason`, both in the message."""

    def __init__(self, path: str | pathlib.Path, reason: str):
        """The error for one file."""
        super().__init__(f"{printable(str(path))}: {printable(reason)}")
        self.path = str(path)
        self.reason = reason


def decode(
    path: str | pathlib.Path, sample_rate_hz: int = 16_000
) -> Float32[np.ndarray, "time"]:
    """The recording at `path` as mono float32 in [-1, 1] at `sample_rate_hz`.

    Any container, bit depth, rate and number of channels that libsndfile knows.
    Channels are averaged; another rate is brought to ours by SciPy's polyphase filter
    (Kaiser window, beta 5), which keeps the level and the position in time.

    Raises:
        UnreadableAudio: no such file, not audio, no samples, shortened or damaged,
            samples that are NaN or infinite, or a float file in integer units.
    """
    path = pathlib.Path(path)
    frames, rate_hz = _frames(path)
    if reason := _container_damage(path):
        raise UnreadableAudio(path, reason)
    if len(frames) == 0:
        raise UnreadableAudio(path, "holds no samples")
    if not np.isfinite(frames).all():
        count = int(np.sum(~np.isfinite(frames)))
        raise UnreadableAudio(path, f"{count} samples are NaN or infinite")
    peak = float(np.max(np.abs(frames)))
    if peak >= UNSCALED_PEAK:
        raise UnreadableAudio(
            path, f"float samples up to {peak:g}; divide them so that full scale is 1"
        )
    wave = frames.mean(axis=1, dtype=np.float32)
    return np.clip(resampled(wave, rate_hz, sample_rate_hz), -1.0, 1.0)


def resampled(
    wave: Float32[np.ndarray, "time"], rate_hz: int, new_rate_hz: int
) -> Float32[np.ndarray, "new_time"]:
    """The same sound at another rate, `ceil(time * new_rate / rate)` samples long.

    SciPy and not librosa: the first librosa call of a process compiles for up to 50 s,
    which a first build should not pay for one filter.
    """
    if rate_hz == new_rate_hz:
        return wave
    from scipy.signal import resample_poly

    divisor = math.gcd(rate_hz, new_rate_hz)
    new_wave = resample_poly(wave, new_rate_hz // divisor, rate_hz // divisor)
    return new_wave.astype(np.float32)


def activity_bounds(wave: Float[np.ndarray, "time"]) -> tuple[int, int]:
    """Start and stop (exclusive) of the activity: Deep Speaker's crude cut.

    The samples whose magnitude lies above the 95th percentile of all magnitudes, from
    the first to the last of them. A wave without any such sample (digital silence, a
    constant) is kept whole.

    Source: the cut of Deep Speaker's code.
    """
    if wave.size == 0:
        return 0, 0
    magnitude = np.abs(wave)
    active = np.flatnonzero(magnitude > np.percentile(magnitude, 95))
    if active.size == 0:
        return 0, len(wave)
    return int(active[0]), int(active[-1]) + 1


def activity_cut(wave: Float[np.ndarray, "time"]) -> Float[np.ndarray, "active"]:
    """The wave from its first to its last active sample; see `activity_bounds`."""
    start, stop = activity_bounds(wave)
    return wave[start:stop]


def to_int16(wave: Float[np.ndarray, "*shape"]) -> Int16[np.ndarray, "*shape"]:
    """The wave in steps of 1/32768, rounded to even; full scale saturates at 32767.

    Raises:
        ValueError: samples that are NaN or infinite.
    """
    if not np.isfinite(wave).all():
        raise ValueError("cannot round NaN or infinite samples to 16 bits")
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def from_int16(audio: Int16[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """The 16-bit samples as float32 in [-1, 1); `to_int16` undoes it exactly."""
    return audio.astype(np.float32) / np.float32(32768)


def _frames(path: pathlib.Path) -> tuple[Float32[np.ndarray, "time channels"], int]:
    """Every frame of a file, and its rate in Hz."""
    import soundfile

    if not path.is_file():
        raise UnreadableAudio(path, "no such file")
    if not path.stat().st_size:
        raise UnreadableAudio(path, "an empty file; copy or download it again")
    blocks = []
    try:
        with soundfile.SoundFile(os.fsencode(path)) as audio:
            rate_hz, promised = audio.samplerate, audio.frames
            low, high = SAMPLE_RATES_HZ
            if not low <= rate_hz <= high:
                raise UnreadableAudio(path, f"its header says {rate_hz} Hz")
            if promised >= OPEN_ENDED_FRAMES:
                reason = "its header leaves the length open; encode it again to a file"
                raise UnreadableAudio(path, reason)
            # In blocks: a damaged header may promise more frames than memory holds.
            while len(block := audio.read(BLOCK_FRAMES, "float32", always_2d=True)):
                blocks.append(block)
    except soundfile.LibsndfileError as error:
        reason = f"cannot be decoded ({error.error_string.rstrip('.')})"
        raise UnreadableAudio(path, reason) from error
    num_frames = sum(len(block) for block in blocks)
    if num_frames < promised:
        reason = f"shortened or damaged: {num_frames} of {promised} frames decode"
        raise UnreadableAudio(path, reason)
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32), rate_hz


def _container_damage(path: pathlib.Path) -> str:
    """What is wrong with the container, or the empty string."""
    checks: dict[bytes, Callable[[bytes], str]] = {
        b"RIFF": _chunk_damage,
        b"RIFX": _chunk_damage,
        b"FORM": _chunk_damage,
        b"OggS": _page_damage,
    }
    with path.open("rb") as file:
        check = checks.get(file.read(4))
        if check is None:
            return ""
        file.seek(0)
        return check(file.read())


def _chunk_damage(data: bytes) -> str:
    """What is wrong with a WAV or AIFF file: its sample chunk ends past the file."""
    order = "little" if data[:4] == b"RIFF" else "big"
    position = 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], order)
        if name in (b"data", b"SSND"):
            present = len(data) - position - 8
            if present < size < UNKNOWN_CHUNK_SIZE:
                return f"shortened: {present} of {size} bytes of samples are there"
            return ""
        position += 8 + size + size % 2
    return ""


def _page_damage(data: bytes) -> str:
    """What is wrong with an Ogg file: a damaged page, or no last page.

    Source: RFC 3533, section 6 (page header, CRC polynomial 0x04c11db7).
    """
    position, is_last = 0, False
    while position < len(data):
        header_end = position + 27
        num_segments = data[position + 26] if header_end <= len(data) else 0
        end = header_end + num_segments
        end += sum(data[header_end : header_end + num_segments])
        if end > len(data):
            return f"shortened: the Ogg page at byte {position} is not whole"
        page = data[position:end]
        checksum = int.from_bytes(page[22:26], "little")
        if page[:4] != b"OggS" or _ogg_crc(page) != checksum:
            return f"damaged: the Ogg page at byte {position} fails its checksum"
        is_last = bool(page[5] & 4)
        position = end
    return "" if is_last else "shortened: its Ogg stream has no last page"


def _ogg_crc(page: bytes) -> int:
    """The checksum of a page, its own four bytes read as zero.

    Ogg runs the polynomial of zlib over the bits of each byte in the other order,
    starting from zero: reverse the bits, and zlib's C loop does the work.
    """
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(REVERSED_BITS)
    crc = zlib.crc32(mirrored, 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)
