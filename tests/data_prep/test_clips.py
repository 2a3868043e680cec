import numpy as np
import pytest
import soundfile

from advjax.signal.samples import to_int16
from data_prep.clips import (
    UnreadableAudio,
    activity_bounds,
    decode,
    header,
    resampled,
)


def noise(num_samples=20_000, channels=1):
    random = np.random.default_rng(0)
    return random.uniform(-0.5, 0.5, (num_samples, channels))


def sine(rate_hz, seconds=1.0, frequency_hz=440.0):
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    return 0.5 * np.sin(2 * np.pi * frequency_hz * time)


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.aiff"])
def test_sixteen_bits_survive_decoding_exactly(tmp_path, name):
    stored = np.random.default_rng(1).integers(-32768, 32768, 5000).astype(np.int16)
    soundfile.write(tmp_path / name, stored, 16_000, subtype="PCM_16")
    wave = decode(tmp_path / name)
    assert wave.dtype == np.float32
    np.testing.assert_array_equal(to_int16(wave), stored)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_24", 1e-3),
        ("a.wav", "FLOAT", 1e-3),
        ("a.wav", "PCM_U8", 1.2e-2),
        ("a.flac", "PCM_24", 1e-3),
        ("a.ogg", "VORBIS", 3e-2),
    ],
)
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_mixed_files_become_mono_at_our_rate(
    tmp_path, name, subtype, tolerance, rate_hz
):
    left = sine(rate_hz)
    stereo = np.stack([left, 0.5 * left], axis=1)
    soundfile.write(tmp_path / name, stereo, rate_hz, subtype=subtype)
    wave = decode(tmp_path / name)
    assert wave.shape == (16_000,)
    expected = 0.75 * sine(16_000)  # the sine itself, sampled at our rate
    # The ends lack neighbours for the filter, whose ripple (Kaiser, beta 5: 54 dB)
    # is the tolerance of the finer formats.
    np.testing.assert_allclose(wave[400:-400], expected[400:-400], atol=tolerance)


def test_resampling_gives_the_promised_length_and_keeps_float32():
    wave = sine(11_025, 0.3).astype(np.float32)
    new_wave = resampled(wave, 11_025, 16_000)
    assert new_wave.dtype == np.float32
    assert len(new_wave) == -(-len(wave) * 16_000 // 11_025)
    assert resampled(wave, 16_000, 16_000) is wave


def test_overshoot_of_a_float_file_is_clipped(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.1, 1.5, -2.0], 16_000, subtype="FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "a.wav"), [0.1, 1.0, -1.0])


def damaged(tmp_path, name, damage, **write_options):
    path = tmp_path / name
    soundfile.write(path, noise(), 16_000, **write_options)
    decode(path)  # sound before the damage
    path.write_bytes(damage(bytearray(path.read_bytes())))
    return path


def overwrite_middle(data):
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    return data


def flip_one_bit_of_the_middle(data):
    data[len(data) // 2] ^= 1
    return data


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("a.flac", overwrite_middle, "cannot be decoded"),
        ("a.flac", flip_one_bit_of_the_middle, "cannot be decoded"),
        ("a.flac", lambda data: data[: len(data) // 2], "cannot be decoded"),
        ("a.flac", lambda data: data[:-1], "cannot be decoded"),
        ("a.flac", lambda data: b"", "an empty file"),
        ("a.wav", lambda data: data[: len(data) // 2], "shortened: 19978 of 40000"),
        ("a.wav", lambda data: data[:-1], "shortened: 39999 of 40000"),
        ("a.wav", lambda data: data[:20], "cannot be decoded"),
        ("a.aiff", lambda data: data[:-2], "shortened"),
        ("a.ogg", lambda data: data[: len(data) // 2], "shortened"),
        ("a.ogg", lambda data: data[:-1], "shortened"),
        ("a.ogg", flip_one_bit_of_the_middle, "damaged"),
    ],
)
def test_damaged_file_is_named_with_its_reason(tmp_path, name, damage, reason):
    path = damaged(tmp_path, name, damage)
    with pytest.raises(UnreadableAudio, match=reason) as caught:
        decode(path)
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value) and caught.value.reason in str(caught.value)


def test_ogg_cut_between_two_pages_is_found(tmp_path):
    def drop_last_page(data):
        return data[: data.rindex(b"OggS")]

    path = damaged(tmp_path, "a.ogg", drop_last_page)
    with pytest.raises(UnreadableAudio, match="no last page"):
        decode(path)


def test_wav_written_to_a_pipe_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), 16_000)
    data = bytearray(path.read_bytes())
    size = data.index(b"data") + 4
    data[size : size + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert decode(path).shape == (20_000,)


def test_open_ended_flac_says_what_to_do(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), 16_000)
    data = bytearray(path.read_bytes())
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36  # total samples: unknown
    data[18:26] = fields.to_bytes(8, "big")
    path.write_bytes(data)
    with pytest.raises(UnreadableAudio, match="encode it again"):
        decode(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused(tmp_path, bad):
    samples = noise()
    samples[100:103] = bad
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(UnreadableAudio, match="3 samples are NaN or infinite"):
        decode(tmp_path / "a.wav")


def test_float_file_in_integer_units_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise() * 32768, 16_000, subtype="FLOAT")
    with pytest.raises(UnreadableAudio, match="full scale is 1"):
        decode(tmp_path / "a.wav")


def test_no_samples_no_file_no_audio(tmp_path):
    soundfile.write(tmp_path / "empty.wav", noise(0), 16_000)
    with pytest.raises(UnreadableAudio, match="holds no samples"):
        decode(tmp_path / "empty.wav")
    with pytest.raises(UnreadableAudio, match="no such file"):
        decode(tmp_path / "absent.wav")
    (tmp_path / "text.wav").write_text("not audio at all")
    with pytest.raises(UnreadableAudio, match="cannot be decoded"):
        decode(tmp_path / "text.wav")
    soundfile.write(tmp_path / "slow.wav", noise(), 7)
    with pytest.raises(UnreadableAudio, match="7 Hz"):
        decode(tmp_path / "slow.wav")


def test_activity_runs_from_the_first_to_the_last_loud_sample():
    wave = np.zeros(1000, np.float32)
    wave[300:320], wave[600:620] = 0.3, -0.3  # 4 %: the 95th percentile is zero
    assert activity_bounds(wave) == (300, 620)
    wave += 0.1 * np.sign(np.sin(np.arange(1000) + 0.5)).astype(np.float32)
    assert activity_bounds(wave)[0] >= 300  # quiet sound lies below the percentile


def test_activity_of_a_ramp():
    ramp = np.linspace(0, 1, 101, dtype=np.float32)  # its 95th percentile is its 96th
    assert activity_bounds(ramp) == (96, 101)


@pytest.mark.parametrize("wave", [np.zeros(50), np.full(50, 0.2), np.zeros(0)])
def test_without_activity_a_wave_stays_whole(wave):
    assert activity_bounds(wave) == (0, len(wave))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_headers_are_read_without_samples(tmp_path, name):
    soundfile.write(tmp_path / name, noise(8_000, channels=2), 16_000)
    found = header(tmp_path / name)
    assert (found.rate_hz, found.num_channels) == (16_000, 2)
    assert found.seconds == pytest.approx(0.5, abs=0.1)


def test_a_header_shows_what_is_missing_where_it_states_sizes(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(8_000), 16_000)
    path.write_bytes(path.read_bytes()[:5_000])
    with pytest.raises(UnreadableAudio, match="shortened"):
        header(path)
    path.write_bytes(b"")
    with pytest.raises(UnreadableAudio, match="an empty file"):
        header(path)
    soundfile.write(path, noise(0), 16_000)
    with pytest.raises(UnreadableAudio, match="holds no samples"):
        header(path)
