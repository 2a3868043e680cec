"""Frames of MPEG audio (MP3), counted to find the length of a file.

An MP3 file has no length of its own. Encoders put one into a first frame without sound
(Xing, Info). Without it, libsndfile assumes that all frames have the rate of the first
one, and reads too little or asks for too much. Counting the frames gives the length.

Source: ISO/IEC 11172-3, section 2.4.1.3; ISO/IEC 13818-3 for the lower rates; the Xing
header as LAME 3.100 writes it (VbrTag.c).
"""

from typing import BinaryIO, NamedTuple

# In kbit/s by (MPEG-1, layer), from index 1 on; MPEG-2 and 2.5 share theirs.
BIT_RATES = {
    (True, 1): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000)}
SAMPLE_RATES_HZ[0] = (11_025, 12_000, 8_000)  # MPEG 2.5
STEADY_BITS = 0xFFFE_0C00  # of a header, equal in all frames of a stream
MOST_JUNK = 1 << 16  # bytes between a tag and the first frame
HEADER_RATE = 9  # index of a bit rate whose frames have room for a Xing header


class Frame(NamedTuple):
    """Fields of the four bytes at the start of a frame."""

    bits: int
    layer: int
    size: int
    samples: int
    side_bytes: int
    """Number of bytes from the start of the frame to a Xing header."""


class Stream(NamedTuple):
    """Consecutive frames.

    Attributes:
        layer: 1 to 3.
        damage: why the frames are incomplete, or the empty string.
        num_frames: number of frames with sound.
        frame_samples: samples in each frame.
        as_told: True if a header has that number, so that libsndfile knows it.
        first: header of the first frame.
        start: first byte of the frames with sound.
        stop: byte after them.
    """

    layer: int
    damage: str
    num_frames: int
    frame_samples: int
    as_told: bool
    first: int
    start: int
    stop: int


def skip_tags(file: BinaryIO, size: int) -> int:
    """Byte after the tags at the beginning of a file (ID3v2)."""
    start = 0
    while (length := _id3(file, start)) and start < size:
        start += length
    return start


def stream(file: BinaryIO, start: int, size: int) -> Stream | None:
    """Frames of a file from `start` on; None if there are none.

    Args:
        file: open for reading; its place changes.
        start: byte after the tags at its beginning.
        size: of the file, in bytes.
    """
    at = _first_frame(file, start, size)
    if at is None:
        return None
    begin, first = at
    told, told_bytes, damage = _told(file, begin, first)
    position, num_frames = begin, 0
    while position < size:
        frame = _frame(read_at(file, position, 4))
        if frame is None or (frame.bits ^ first.bits) & STEADY_BITS:
            length = _tag(file, position, size)
            if not length:
                damage = damage or f"damaged: no MPEG frame at byte {position}"
                break
            position += length
            continue
        if position + frame.size > size:
            damage = f"shortened: the MPEG frame at byte {position} is not whole"
            break
        num_frames += 1
        stop = position = position + frame.size
    if num_frames < 1:
        return None
    if told is None:
        start = begin
    else:
        start, num_frames = begin + first.size, num_frames - 1
        # Some encoders count the frame of the header too.
        counts_itself = told == num_frames + 1 and 0 < told_bytes <= stop - begin
        if num_frames < told and not counts_itself and not damage:
            damage = f"shortened: {num_frames} of {told} MPEG frames are there"
    return Stream(
        first.layer, damage, num_frames, first.samples, told == num_frames,
        first.bits, start, stop,
    )  # fmt: skip


def length_header(found: Stream) -> bytes:
    """Frame without sound that states the number of frames, to put before them."""
    bits = found.first & ~0x0001_F200 | 0x0001_0000 | HEADER_RATE << 12
    frame = _frame(bits.to_bytes(4, "big"))
    assert frame is not None
    data = bits.to_bytes(4, "big") + bytes(frame.side_bytes - 4)
    data += b"Xing" + (1).to_bytes(4, "big") + found.num_frames.to_bytes(4, "big")
    return data.ljust(frame.size, b"\0")


def _first_frame(file: BinaryIO, start: int, size: int) -> tuple[int, Frame] | None:
    """Place of the first frame that is followed by another one or the end."""
    data = read_at(file, start, MOST_JUNK if start else 4096)
    # Without a tag, only zeros may come before it.
    last = len(data) if start else len(data) - len(data.lstrip(b"\0")) + 1
    for offset in range(last):
        if data[offset : offset + 1] != b"\xff":
            continue
        frame = _frame(read_at(file, start + offset, 4))
        if frame is None:
            continue
        end = start + offset + frame.size
        after = _frame(read_at(file, end, 4))
        same = after is not None and not (after.bits ^ frame.bits) & STEADY_BITS
        if same or end >= size or _tag(file, end, size):
            return start + offset, frame
    return None


def _frame(data: bytes) -> Frame | None:
    """Fields of a header in four bytes; None if invalid or of a free format."""
    bits = int.from_bytes(data, "big")
    version, layer = bits >> 19 & 3, 4 - (bits >> 17 & 3)
    rate, bit_rate = bits >> 10 & 3, bits >> 12 & 15
    if (
        len(data) < 4
        or bits >> 21 != 0x7FF
        or version == 1
        or layer == 4
        or rate == 3
        or bit_rate in (0, 15)
    ):
        return None
    is_first = version == 3
    bits_per_s = 1000 * BIT_RATES[is_first, layer][bit_rate - 1]
    samples = {1: 384, 2: 1152, 3: 1152 if is_first else 576}[layer]
    padding = bits >> 9 & 1
    rate_hz = SAMPLE_RATES_HZ[version][rate]
    if layer == 1:
        size = 4 * (12 * bits_per_s // rate_hz + padding)
    else:
        size = samples // 8 * bits_per_s // rate_hz + padding
    mono = bits >> 6 & 3 == 3
    side_bytes = (17 if mono else 32) if is_first else (9 if mono else 17)
    return Frame(bits, layer, size, samples, 4 + side_bytes)


def _told(file: BinaryIO, begin: int, frame: Frame) -> tuple[int | None, int, str]:
    """Numbers of frames and bytes in a Xing header, and its damage.

    (None, 0, "") without a header. Decoders take it for sound unless it is silent.
    """
    data = read_at(file, begin, frame.size)
    for place in (frame.side_bytes, frame.side_bytes + 2):
        if frame.layer == 3 and data[place : place + 4] in (b"Xing", b"Info"):
            has = int.from_bytes(data[place + 4 : place + 8], "big")
            numbers = [
                int.from_bytes(data[at : at + 4], "big")
                for at in (place + 8, place + 12)
            ]
            # A header without the number has no sound either.
            told = numbers[0] if has & 1 else 0
            silent = not any(data[4 + place - frame.side_bytes : place])
            damage = "" if silent else f"damaged: the MPEG header at byte {begin}"
            return told, numbers[has & 1] if has & 2 else 0, damage
    return None, 0, ""


def _tag(file: BinaryIO, position: int, size: int) -> int:
    """Length of a tag between or after frames; 0 if there is none."""
    data = read_at(file, position, 32)
    if data.startswith(b"TAG"):
        return min(128, size - position)
    if data.startswith(b"APETAGEX") and len(data) == 32:
        length = int.from_bytes(data[12:16], "little")
        has_header = bool(data[23] & 0x20)
        return length + 32 if has_header else 32
    if data.startswith(b"LYRICSBEGIN"):
        text = read_at(file, position, size - position)
        end = max(text.find(b"LYRICS200"), text.find(b"LYRICSEND"))
        return end + 9 if end > 0 else 0
    if length := _id3(file, position):
        return length
    if not data.strip(b"\0"):
        rest = read_at(file, position, size - position)
        return len(rest) - len(rest.lstrip(b"\0"))
    return 0


def _id3(file: BinaryIO, position: int) -> int:
    """Length of an ID3v2 tag; 0 if there is none."""
    data = read_at(file, position, 10)
    if len(data) < 10 or not data.startswith(b"ID3") or max(data[6:]) > 127:
        return 0
    length = 0
    for byte in data[6:]:
        length = length << 7 | byte
    return 10 + length + (10 if data[5] & 0x10 else 0)


def read_at(file: BinaryIO, position: int, length: int) -> bytes:
    """Bytes of a file from a place on; fewer at its end."""
    file.seek(position)
    return file.read(length)
