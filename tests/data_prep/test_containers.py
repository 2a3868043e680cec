"""Files that are cut are found in every container, and whole ones decode."""

import io
import struct

import numpy as np
import pytest
import soundfile

from data_prep import clips, mpeg
from data_prep.clips import UnreadableAudio, decode

TIME = np.arange(16_000) / 16_000
NOISE = np.random.default_rng(0).standard_normal(16_000)
WAVE = (0.3 * np.sin(2 * np.pi * 440 * TIME) + 0.01 * NOISE).astype(np.float32)


def encoded(file_format, subtype, rate_hz=16_000, wave=WAVE, **more):
    data = io.BytesIO()
    with soundfile.SoundFile(
        data, "w", rate_hz, 1, format=file_format, subtype=subtype, **more
    ) as file:
        file.write(wave)
    return data.getvalue()


def stored(tmp_path, data):
    path = tmp_path / "clip"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("file_format", "subtype", "more"),
    [
        ("WAV", "PCM_16", {}),
        ("WAV", "PCM_16", {"endian": "BIG"}),
        ("WAV", "IMA_ADPCM", {}),
        ("WAVEX", "PCM_24", {}),
        ("RF64", "PCM_16", {}),
        ("W64", "FLOAT", {}),
        ("AIFF", "PCM_16", {}),
        ("AIFF", "PCM_16", {"endian": "LITTLE"}),
        ("AU", "PCM_16", {}),
        ("AU", "ULAW", {"endian": "LITTLE"}),
        ("FLAC", "PCM_16", {}),
        ("OGG", "VORBIS", {}),
        ("OGG", "OPUS", {}),
        ("MP3", "MPEG_LAYER_III", {}),
    ],
)
def test_a_whole_file_decodes_and_a_cut_one_does_not(
    tmp_path, file_format, subtype, more
):
    data = encoded(file_format, subtype, **more)
    wave = decode(stored(tmp_path, data))
    assert len(wave) == pytest.approx(16_000, abs=300)
    assert 0.25 < np.abs(wave).max() < 0.4
    for length in (len(data) - 1, len(data) // 2, len(data) // 10):
        with pytest.raises(UnreadableAudio, match="shortened|cannot be decoded|damage"):
            decode(stored(tmp_path, data[:length]))


@pytest.mark.parametrize(
    ("file_format", "subtype", "name"),
    [
        ("NIST", "PCM_16", "NIST Sphere"),
        ("VOC", "PCM_16", "VOC"),
        ("CAF", "PCM_16", "CAF"),
        ("AVR", "PCM_16", "AVR"),
        ("IRCAM", "PCM_16", "IRCAM"),
        ("PAF", "PCM_16", "PAF"),
        ("PVF", "PCM_16", "PVF"),
        ("SVX", "PCM_16", "IFF"),
        ("MAT5", "PCM_16", "MAT5"),
        ("HTK", "PCM_16", "HTK"),
    ],
)
def test_a_container_without_a_proof_is_refused_by_name(
    tmp_path, file_format, subtype, name
):
    path = stored(tmp_path, encoded(file_format, subtype))
    with pytest.raises(UnreadableAudio, match=f"{name}.*convert it to WAV or FLAC"):
        decode(path)


def test_ogg_streams_one_after_another_are_refused(tmp_path):
    data = encoded("OGG", "VORBIS")
    with pytest.raises(UnreadableAudio, match="several Ogg streams"):
        decode(stored(tmp_path, data + data))


def wav(data, *, data_size=None, after=b"", order="<"):
    size = len(data) if data_size is None else data_size
    body = b"WAVEfmt " + struct.pack(order + "IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    body += b"data" + struct.pack(order + "I", size) + data + after
    magic = b"RIFF" if order == "<" else b"RIFX"
    length = 0 if data_size is not None else len(body)
    return magic + struct.pack(order + "I", length) + body


PCM = (WAVE * 32767).astype("<i2")


@pytest.mark.parametrize(
    "size",
    [0xFFFF_FFFF, 0xFFFF_FFF7, 0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000, 0],
)
@pytest.mark.parametrize("order", "<>")
def test_a_wav_that_was_never_closed_is_read_to_its_end(tmp_path, size, order):
    data = PCM.astype(f"{order}i2").tobytes()
    wave = decode(stored(tmp_path, wav(data, data_size=size, order=order)))
    np.testing.assert_array_equal(wave, PCM / np.float32(32768))


def test_no_samples_in_a_closed_wav_are_none(tmp_path):
    chunk = b"LIST" + struct.pack("<I", 4) + b"INFO"
    with pytest.raises(UnreadableAudio, match="holds no samples"):
        decode(stored(tmp_path, wav(b"", after=chunk)))


def test_a_long_wav_that_was_cut_is_found(tmp_path):
    # Between the sizes that mean "to the end": this one was 3 GB.
    data = wav(PCM.tobytes(), data_size=3_000_000_000)
    with pytest.raises(UnreadableAudio, match="32000 of 3000000000 bytes"):
        decode(stored(tmp_path, data))


@pytest.mark.parametrize(
    ("file_format", "field"),
    [("AIFF", b"SSND"), ("AU", b".snd"), ("RF64", b"ds64"), ("W64", b"data")],
)
def test_other_headers_that_were_never_closed_are_refused(tmp_path, file_format, field):
    data = bytearray(encoded(file_format, "PCM_16"))
    at = data.index(field)
    place, size = {"W64": (16, 8), "RF64": (16, 8), "AU": (8, 4), "AIFF": (4, 4)}[
        file_format
    ]
    data[at + place : at + place + size] = bytes(size)
    with pytest.raises(UnreadableAudio, match="never closed"):
        decode(stored(tmp_path, bytes(data)))


def mp3(rate_hz=16_000, mode="CONSTANT"):
    """A file of 3 s as LAME writes it, and without the frame that tells its length."""
    time = np.arange(3 * rate_hz) / rate_hz
    wave = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    data = encoded(
        "MP3", "MPEG_LAYER_III", rate_hz, wave, bitrate_mode=mode, compression_level=0.5
    )
    return data, data[data.find(data[:2], 4) :]


def id3(size):
    size_bytes = bytes(
        [size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]
    )
    # Artwork looks like frames.
    return b"ID3\x03\0\0" + size_bytes + (b"\xff\xd8\xff\xe0" * size)[:size]


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_is_as_long_as_its_frames(tmp_path, rate_hz, mode):
    told, untold = mp3(rate_hz, mode)
    tags = b"APETAGEX" + struct.pack("<II", 2000, 32) + bytes(16) + b"TAG" + bytes(125)
    for data in (told, id3(70_000) + told, told + b"TAG" + bytes(125)):
        assert len(decode(stored(tmp_path, data))) == 48_000
    for data in (untold, id3(300) + untold, untold + tags, untold + bytes(5000)):
        wave = decode(stored(tmp_path, data))
        assert 48_000 <= len(wave) <= 49_600  # with the delay of the encoder
        assert np.abs(wave[:1000]).max() > 0.2 and np.abs(wave[47_000:]).max() > 0.2


def test_cut_and_joined_mp3s(tmp_path):
    told, untold = mp3(mode="VARIABLE")
    for data in (
        told[:-1],
        untold[:-1],
        id3(300) + told[:-200],
        told[: len(told) // 2],
    ):
        with pytest.raises(UnreadableAudio, match="shortened"):
            decode(stored(tmp_path, data))
    middle = untold.find(untold[:2], len(untold) // 2)
    cut_out = untold[:middle] + untold[middle + 5 :]
    with pytest.raises(UnreadableAudio, match="damaged: no MPEG frame at byte"):
        decode(stored(tmp_path, cut_out))
    # Two files in one: the header of the first tells of the first alone.
    joined = decode(stored(tmp_path, told + b"TAG" + bytes(125) + told))
    assert len(joined) > 96_000 and np.abs(joined[-2000:]).max() > 0.2


@pytest.mark.parametrize("place", [4, 8, 12])
def test_a_length_in_a_frame_that_is_not_silent_is_damage(tmp_path, place):
    """A decoder takes such a frame for sound, and a part of the file for all."""
    told, _ = mp3(mode="VARIABLE")
    data = told[:place] + b"\x7f" + told[place + 1 :]
    with pytest.raises(UnreadableAudio, match="damaged: the MPEG header at byte 0"):
        decode(stored(tmp_path, data))


def test_other_bytes_are_no_frames(tmp_path):
    text = "one line of text in UTF-16".encode("utf-16")
    for data in (text * 10, b"\xff" * 1000, bytes(1000), b"\xff\xfb"):
        with stored(tmp_path, data).open("rb") as file:
            assert mpeg.stream(file, 0, len(data)) is None


def test_names_of_files_need_not_be_unicode_or_true(tmp_path):
    data = encoded("FLAC", "PCM_16")
    for name in ("bad\udcff.wav", "x.raw", "x.mp3", "new\nline", "-dash"):
        (tmp_path / name).write_bytes(data)
        assert len(decode(tmp_path / name)) == 16_000
    (tmp_path / "bad\udcff.wav").write_bytes(b"text")
    with pytest.raises(UnreadableAudio, match=r"bad\\udcff.wav: cannot be decoded"):
        decode(tmp_path / "bad\udcff.wav")


def test_a_pointer_of_git_lfs_is_called_one(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n"
    with pytest.raises(UnreadableAudio, match="run git lfs pull"):
        decode(stored(tmp_path, pointer))


@pytest.mark.parametrize(
    ("rate_hz", "new_rate_hz"),
    [(16_000, 16_000), (44_100, 16_000), (8000, 16_000), (48_000, 22_050)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_change_no_bit(tmp_path, monkeypatch, rate_hz, new_rate_hz, channels):
    frames = np.random.default_rng(1).uniform(-0.9, 0.9, (20_011, channels))
    soundfile.write(tmp_path / "a.wav", frames, rate_hz)
    whole = decode(tmp_path / "a.wav", new_rate_hz)
    resampled = clips.resampled(whole, rate_hz, new_rate_hz)
    monkeypatch.setattr(clips, "BLOCK_FRAMES", 2001)
    np.testing.assert_array_equal(decode(tmp_path / "a.wav", new_rate_hz), whole)
    again = clips.resampled(whole, rate_hz, new_rate_hz)
    np.testing.assert_array_equal(again, resampled)


@pytest.mark.parametrize("rate_hz", [999_983, 96_001, 44_101])
def test_rates_without_a_common_factor_take_a_short_filter(rate_hz):
    up, down = clips._ratio(rate_hz, 16_000)
    assert max(up, down) <= clips.MOST_PHASES
    assert abs(up / down * rate_hz / 16_000 - 1) < 1 / clips.MOST_PHASES
    assert clips._ratio(44_100, 16_000) == (160, 441)


def test_a_rate_without_a_common_factor_keeps_time_and_level(tmp_path):
    rate_hz = 96_001
    time = np.arange(rate_hz // 4) / rate_hz
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), rate_hz)
    wave = decode(tmp_path / "a.wav")
    assert len(wave) == -(-len(time) * 16_000 // rate_hz)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(wave)) / 16_000)
    np.testing.assert_allclose(wave[400:-400], wanted[400:-400], atol=5e-3)
