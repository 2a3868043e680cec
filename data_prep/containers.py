"""Checks that audio files are complete, by the bytes of their containers.

libsndfile reports a damaged FLAC stream, but reads most other truncated files without
an error. `examine` therefore reads a container's sizes, checksums or frames at the byte
level. A container without a stated length has an empty name, and the caller refuses it.
"""

import io
import os
import zlib
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from data_prep import mpeg
from data_prep.mpeg import read_at

# Writers that cannot seek back (to a pipe) leave a size at the top of a range.
UNKNOWN_SIZES = (range(0x7FFF_0000, 0x8000_1001), range(0xFFFF_0000, 0x1_0000_0000))
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
NEVER_CLOSED = (
    "its header was never closed: it says 0 bytes of samples, and {present} are there; "
    "write it again"
)


class Container(NamedTuple):
    """Result of examining the bytes of one file.

    Attributes:
        name: of the container; empty if nothing proves its length.
        damage: why the file is not complete, or the empty string.
        num_frames: smallest number of frames that must be decoded; None if libsndfile
            knows it.
        splice: replacement for the beginning of the file: bytes, and the range of the
            file that follows them. None to decode the file as it is.
    """

    name: str
    damage: str = ""
    num_frames: int | None = None
    splice: tuple[bytes, int, int] | None = None


class Spliced(io.RawIOBase):
    """Some bytes followed by a part of a file, readable as one file."""

    def __init__(self, file: BinaryIO, first: bytes, start: int, stop: int):
        """Start at the first byte; `file` stays open and its place changes."""
        self._file, self._first = file, first
        self._start, self._stop = start, stop
        self._place = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        size = len(self._first) + self._stop - self._start
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: size}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, buffer) -> int:
        """Fill the buffer from one of the two parts, up to its end."""
        if self._place < len(self._first):
            data = self._first[self._place : self._place + len(buffer)]
        else:
            place = self._start + self._place - len(self._first)
            self._file.seek(place)
            data = self._file.read(max(0, min(len(buffer), self._stop - place)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def examine(file: BinaryIO, size: int) -> Container:
    """Examine the container of a file.

    Args:
        file: open for reading; its place changes.
        size: of the file, in bytes.
    """
    start = mpeg.skip_tags(file, size)
    magic = read_at(file, start, 16)
    for begin, check in _CHECKS.items():
        if start == 0 and magic.startswith(begin):
            return check(file, size)
    if magic.startswith(b"fLaC"):
        return Container("FLAC")
    return _mpeg(file, size, start)


def _mpeg(file: BinaryIO, size: int, start: int) -> Container:
    found = mpeg.stream(file, start, size)
    if found is None:
        return Container("")
    if found.damage:
        return Container("MP3", found.damage)
    if found.as_told:
        return Container("MP3")
    # Decoders may leave out their delay, which is less than a frame.
    num_frames = (found.num_frames - 1) * found.frame_samples
    if found.layer < 3:
        return Container("MP3", "", num_frames)
    header = mpeg.length_header(found)
    return Container("MP3", "", num_frames, (header, found.start, found.stop))


def _wave(file: BinaryIO, size: int) -> Container:
    """Examine a WAV file or a 64-bit variant: do its samples end past the file?"""
    magic = read_at(file, 0, 4)
    name = "RF64" if magic == b"RF64" else "WAV"
    order = "big" if magic == b"RIFX" else "little"
    long_size, position = None, 12
    while position + 8 <= size:
        header = read_at(file, position, 36)
        length = int.from_bytes(header[4:8], order)
        if header[:4] == b"ds64":
            long_size = int.from_bytes(header[16:24], order)
        if header[:4] == b"data":
            break
        position += 8 + length + length % 2
    else:
        return Container(name)  # libsndfile reports it
    start = position + 8
    present = size - start
    if name == "RF64" and length == 0xFFFF_FFFF:
        if long_size is None:
            return Container(name, "damaged: its chunk of 64-bit sizes is missing")
        if not long_size and present:
            return Container(name, NEVER_CLOSED.format(present=present))
        return Container(name, _shortened(present, long_size))
    if not length and present and not _closes(file, start, size, order):
        # The writer was stopped, or wrote to a pipe: only the size of the file is
        # known.
        first = bytearray(read_at(file, 0, start))
        first[4:8] = min(size - 8, 0xFFFF_FFFF).to_bytes(4, order)
        first[-4:] = min(present, 0xFFFF_FFFF).to_bytes(4, order)
        return Container(name, splice=(bytes(first), start, size))
    if any(length in sizes for sizes in UNKNOWN_SIZES):
        return Container(name)
    return Container(name, _shortened(present, length))


def _aiff(file: BinaryIO, size: int) -> Container:
    """Examine an AIFF or AIFC file: does its sample chunk end past the file?"""
    if read_at(file, 8, 4) not in (b"AIFF", b"AIFC"):
        return Container("")
    position = 12
    while position + 8 <= size:
        header = read_at(file, position, 8)
        length = int.from_bytes(header[4:], "big")
        if header[:4] == b"SSND":
            present = size - position - 8
            if not length and present and not _closes(file, position + 8, size, "big"):
                return Container("AIFF", NEVER_CLOSED.format(present=present))
            if any(length in sizes for sizes in UNKNOWN_SIZES):
                return Container("AIFF")
            return Container("AIFF", _shortened(present, length))
        position += 8 + length + length % 2
    return Container("AIFF")


def _au(file: BinaryIO, size: int) -> Container:
    """Examine an AU file, whose header has the start and size of the samples."""
    header = read_at(file, 0, 12)
    order = "big" if header[:4] == b".snd" else "little"
    start = int.from_bytes(header[4:8], order)
    length = int.from_bytes(header[8:12], order)
    present = max(0, size - start)
    if not length and present:
        return Container("AU", NEVER_CLOSED.format(present=present))
    return Container("AU", "" if length == 0xFFFF_FFFF else _shortened(present, length))


def _w64(file: BinaryIO, size: int) -> Container:
    """Examine a Sony Wave64 file: chunks with names of 16 bytes and sizes of 8."""
    position = 40
    while position + 24 <= size:
        header = read_at(file, position, 24)
        length = int.from_bytes(header[16:], "little")
        if header[:4] == b"data":
            present, length = size - position - 24, length - 24
            if length <= 0 and present:
                return Container("W64", NEVER_CLOSED.format(present=present))
            return Container("W64", _shortened(present, length))
        position += max(24, length + -length % 8)
    return Container("W64")


def _ogg(file: BinaryIO, size: int) -> Container:
    """Examine an Ogg file: a damaged page, no last page, or a second stream?

    Source: RFC 3533, section 6 (page header, CRC polynomial 0x04c11db7).
    """
    position, is_last = 0, False
    while position < size:
        header = read_at(file, position, 27)
        num_segments = header[26] if len(header) == 27 else 0
        lengths = file.read(num_segments)
        length = 27 + num_segments + sum(lengths)
        if len(header) < 27 or len(lengths) < num_segments or position + length > size:
            reason = f"shortened: the Ogg page at byte {position} is not whole"
            return Container("OGG", reason)
        page = header + lengths + file.read(length - 27 - num_segments)
        checksum = int.from_bytes(page[22:26], "little")
        if page[:4] != b"OggS" or _ogg_crc(page) != checksum:
            reason = f"damaged: the Ogg page at byte {position} fails its checksum"
            return Container("OGG", reason)
        if is_last and page[5] & 2:
            reason = "several Ogg streams one after another; convert it to WAV or FLAC"
            return Container("OGG", reason)
        is_last = bool(page[5] & 4)
        position += length
    return Container(
        "OGG", "" if is_last else "shortened: its Ogg stream has no last page"
    )


def _ogg_crc(page: bytes) -> int:
    """Checksum of a page, with its own four bytes read as zero.

    Ogg runs zlib's polynomial over the bits of each byte in the other order, starting
    from zero. With the bits reversed, zlib's C loop computes it.
    """
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(REVERSED_BITS)
    crc = zlib.crc32(mirrored, 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)


def _closes(file: BinaryIO, position: int, size: int, order: str) -> bool:
    """True if chunks with readable names fill the file from here to its end."""
    while position + 8 <= size:
        header = read_at(file, position, 8)
        if not (header[:4].isascii() and header[:4].decode("ascii").isprintable()):
            return False
        length = int.from_bytes(header[4:], order)
        position += 8 + length + length % 2
    return size <= position <= size + 1


def _shortened(present: int, length: int) -> str:
    if present >= length:
        return ""
    return f"shortened: {present} of {length} bytes of samples are there"


_CHECKS: dict[bytes, Callable[[BinaryIO, int], Container]] = {
    b"RIFF": _wave,
    b"RIFX": _wave,
    b"RF64": _wave,
    b"FORM": _aiff,
    b"OggS": _ogg,
    b".snd": _au,
    b"dns.": _au,
    W64_RIFF: _w64,
}
