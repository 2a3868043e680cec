"""Recordings as waves: decoding, resampling and the activity cut.

`UnreadableAudio` names a bad file when it is read, in every corpus. Bad samples are
found here, incomplete files in `data_prep.containers`.

Recordings are read, mixed and resampled in blocks, so that a recording of an hour needs
little more memory than its wave.
"""

import contextlib
import fractions
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from advjax.runtime.text import printable
from data_prep.containers import Container, Spliced, examine

BLOCK_FRAMES = 1 << 20
SAMPLE_RATES_HZ = (1_000, 1_000_000)  # outside, the header is damaged
# Float files may exceed full scale and are clipped. A file that reaches this value was
# written in integer units: clipping would leave only a square wave.
UNSCALED_PEAK = 64.0
OPEN_ENDED_FRAMES = 2**62  # libsndfile's answer for a FLAC stream that went to a pipe
MOST_PHASES = 1 << 15  # of the resampling filter; its design time is proportional
STATED_SIZES = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"dns.", b"riff")
LFS_POINTER = b"version https://git-lfs"


class UnreadableAudio(ValueError):
    """A recording that cannot be used; the message has its `path` and the `reason`."""

    def __init__(self, path: str | pathlib.Path, reason: str):
        """Build the message about one file."""
        super().__init__(f"{printable(str(path))}: {printable(reason)}")
        self.path = str(path)
        self.reason = reason


def decode(
    path: str | pathlib.Path, sample_rate_hz: int = 16_000
) -> Float32[np.ndarray, "time"]:
    """Recording at `path` as mono float32 in [-1, 1] at `sample_rate_hz`.

    Any bit depth, rate and number of channels that libsndfile reads, in a container
    that states its length: WAV, RF64, W64, AIFF, AU, FLAC, Ogg or MP3. Channels are
    averaged. Other rates are resampled by SciPy's polyphase filter (Kaiser window, beta
    5), which keeps the level and the position in time.

    Raises:
        UnreadableAudio: no such file, not audio, no samples, shortened or damaged,
            samples that are NaN or infinite, or a float file in integer units.
    """
    path = pathlib.Path(path)
    seen = _Seen()
    with _opened(path) as (audio, num_frames):
        rate_hz, promised = audio.samplerate, audio.frames
        _check_header(path, audio)
        blocks = _mono(audio, seen)
        if rate_hz != sample_rate_hz:
            blocks = _resampled(blocks, *_ratio(rate_hz, sample_rate_hz))
        pieces = list(blocks)
    promised = promised if num_frames is None else num_frames
    if seen.num_frames < promised:
        reason = f"shortened or damaged: {seen.num_frames} of {promised} frames decode"
        raise UnreadableAudio(path, reason)
    if not seen.num_frames:
        raise UnreadableAudio(path, "holds no samples")
    if seen.num_bad:
        raise UnreadableAudio(path, f"{seen.num_bad} samples are NaN or infinite")
    if seen.peak >= UNSCALED_PEAK:
        raise UnreadableAudio(
            path,
            f"float samples up to {seen.peak:g}; divide them so that full scale is 1",
        )
    wave = _of_length(pieces, -(-seen.num_frames * sample_rate_hz // rate_hz))
    return np.clip(wave, -1.0, 1.0, out=wave)


class Header(NamedTuple):
    """Rate, frames and channels of a recording, by its header."""

    rate_hz: int
    num_frames: int
    num_channels: int

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.num_frames / self.rate_hz


def header(path: str | pathlib.Path) -> Header:
    """Header of the recording at `path`; its samples may still be incomplete.

    Raises:
        UnreadableAudio: no such file, not audio, or no samples.
    """
    path = pathlib.Path(path)
    with _opened(path, whole=False) as (audio, _):
        _check_header(path, audio)
        if not audio.frames:
            raise UnreadableAudio(path, "holds no samples")
        return Header(audio.samplerate, audio.frames, audio.channels)


def _check_header(path: pathlib.Path, audio: Any) -> None:
    low, high = SAMPLE_RATES_HZ
    if not low <= audio.samplerate <= high:
        raise UnreadableAudio(path, f"its header says {audio.samplerate} Hz")
    if audio.frames >= OPEN_ENDED_FRAMES:
        reason = "its header leaves the length open; encode it again to a file"
        raise UnreadableAudio(path, reason)


def resampled(
    wave: Float32[np.ndarray, "time"], rate_hz: int, new_rate_hz: int
) -> Float32[np.ndarray, "new_time"]:
    """The wave at another rate, `ceil(time * new_rate / rate)` samples long.

    SciPy does it because the first librosa call of a process compiles for up to 50 s.
    """
    if rate_hz == new_rate_hz:
        return wave
    starts = range(0, len(wave), BLOCK_FRAMES)
    blocks = (wave[start : start + BLOCK_FRAMES] for start in starts)
    pieces = list(_resampled(blocks, *_ratio(rate_hz, new_rate_hz)))
    return _of_length(pieces, -(-len(wave) * new_rate_hz // rate_hz))


def _of_length(
    pieces: list[Float32[np.ndarray, "_"]], length: int
) -> Float32[np.ndarray, "length"]:
    """The pieces as one wave; a rounded ratio may be off by a sample."""
    wave = np.concatenate(pieces) if len(pieces) != 1 else pieces[0]
    pieces.clear()
    if len(wave) < length:
        wave = np.pad(wave, (0, length - len(wave)))
    return wave[:length]


def activity_bounds(wave: Float[np.ndarray, "time"]) -> tuple[int, int]:
    """Start and stop (exclusive) of the activity in a wave.

    The activity goes from the first to the last sample whose magnitude is above the
    95th percentile of all magnitudes. A wave without such samples (digital silence, a
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


class _Seen:
    """Statistics of the blocks that pass through `_mono`."""

    def __init__(self) -> None:
        self.num_frames, self.num_bad, self.peak = 0, 0, 0.0


def _mono(audio: Any, seen: _Seen) -> Iterator[Float32[np.ndarray, "time"]]:
    """Mean of the channels, in blocks: a header may promise more than memory holds."""
    length = max(1, BLOCK_FRAMES // audio.channels)
    while len(block := audio.read(length, "float32", always_2d=True)):
        seen.num_frames += len(block)
        seen.num_bad += int(np.sum(~np.isfinite(block)))
        if not seen.num_bad:
            seen.peak = max(seen.peak, float(np.max(np.abs(block))))
            yield block.mean(axis=1, dtype=np.float32)


def _ratio(rate_hz: int, new_rate_hz: int) -> tuple[int, int]:
    """(up, down) of a polyphase filter, exact or nearly so.

    Rates without a common factor would need a filter of millions of taps. The nearest
    ratio of smaller numbers is off by at most 3e-5, like the clocks of sound cards.
    """
    ratio = fractions.Fraction(new_rate_hz, rate_hz)
    if max(ratio.numerator, ratio.denominator) > MOST_PHASES:
        if ratio < 1:
            ratio = ratio.limit_denominator(MOST_PHASES)
        else:
            ratio = 1 / (1 / ratio).limit_denominator(MOST_PHASES)
    return ratio.numerator, ratio.denominator


def _resampled(
    blocks: Iterable[Float32[np.ndarray, "time"]], up: int, down: int
) -> Iterator[Float32[np.ndarray, "new_time"]]:
    """Blocks of a wave at `up / down` of its rate, without seams.

    A block begins at a multiple of `down`, and so at a whole sample of the result. It
    has as many samples on either side as the filter reaches.
    """
    from scipy.signal import resample_poly

    reach = 10 * max(up, down) // up + 2  # of SciPy's filter, in samples
    reach += -reach % down
    pending, done = np.zeros(0, np.float32), 0
    for block in blocks:
        pending = np.concatenate([pending, block]) if len(pending) else block
        stop = (len(pending) - reach) // down * down
        if stop <= done:
            continue
        new = resample_poly(pending, up, down)
        yield new[done * up // down : stop * up // down].astype(np.float32)
        begin = max(0, stop - reach)
        pending, done = pending[begin:], stop - begin
    if len(pending) > done:
        new = resample_poly(pending, up, down)
        yield new[done * up // down :].astype(np.float32)


def _container(
    path: pathlib.Path, file: BinaryIO, size: int, *, whole: bool
) -> Container:
    first = file.read(len(LFS_POINTER))
    if first == LFS_POINTER:
        raise UnreadableAudio(
            path, "a pointer of Git LFS in place of the file: run git lfs pull"
        )
    if not whole and not first.startswith(STATED_SIZES):
        return Container("not examined")
    container = examine(file, size)
    if container.damage:
        raise UnreadableAudio(path, container.damage)
    return container


@contextlib.contextmanager
def _opened(
    path: pathlib.Path, *, whole: bool = True
) -> Iterator[tuple[Any, int | None]]:
    """A file opened by libsndfile, and its number of frames if known.

    Without `whole` a container is not examined if that would read all of the file.

    libsndfile gets a descriptor and not the name, which may lack Unicode or the suffix
    of its format.
    """
    import soundfile

    try:
        is_file, size = path.is_file(), path.stat().st_size if path.is_file() else 0
    except OSError as error:
        raise UnreadableAudio(path, f"cannot be read ({error.strerror})") from error
    if not is_file:
        raise UnreadableAudio(path, "no such file")
    if not size:
        raise UnreadableAudio(path, "an empty file; copy or download it again")
    try:
        with path.open("rb") as file:
            container = _container(path, file, size, whole=whole)
            if container.splice is None:
                source: Any = file.fileno()
                os.lseek(source, 0, os.SEEK_SET)
            else:
                source = Spliced(file, *container.splice)
            with soundfile.SoundFile(source, closefd=False) as audio:
                # WAV files may hold MP3 or other streams without a length.
                is_told = audio.subtype.startswith("MPEG") <= (audio.format == "MP3")
                if not container.name or not is_told:
                    kind = audio.format_info
                    reason = f"a file that is {kind} may be incomplete unnoticed"
                    raise UnreadableAudio(path, f"{reason}; convert it to WAV or FLAC")
                yield audio, container.num_frames
    except soundfile.LibsndfileError as error:
        reason = f"cannot be decoded ({error.error_string.rstrip('.')})"
        raise UnreadableAudio(path, reason) from error
    except OSError as error:
        raise UnreadableAudio(path, f"cannot be read ({error.strerror})") from error
