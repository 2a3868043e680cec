import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from advjax.representations import Chroma, Magnitude, Tonnetz, Waveform


def rep(num_samples=16_000, rate_hz=16_000):
    magnitude = Magnitude(
        source=Waveform(num_samples=num_samples, sample_rate_hz=rate_hz),
        frame_length=2048,
        hop=512,
        num_fft=2048,
        window="hann",
        preemphasis=0.0,
    )
    return Tonnetz(source=Chroma(source=magnitude))


def librosas(wave, rate_hz):
    """Its magnitude, chromagram and tonnetz, [frames, bins], without centring.

    And what our floor takes off each frame of the chromagram: of near silence only.
    """
    count = 1 + -(-(len(wave) - 2048) // 512)
    padded = np.pad(wave, (0, (count - 1) * 512 + 2048 - len(wave)))
    spectrum = librosa.stft(padded, n_fft=2048, hop_length=512, center=False)
    chroma = librosa.feature.chroma_stft(S=np.abs(spectrum) ** 2, sr=rate_hz, tuning=0)
    energies = librosa.feature.chroma_stft(
        S=np.abs(spectrum) ** 2, sr=rate_hz, tuning=0, norm=None
    )
    floor = Chroma.floor / (energies.max(axis=0) + Chroma.floor)
    tonnetz = librosa.feature.tonnetz(chroma=chroma * (1 - floor))
    return [x.T for x in (np.abs(spectrum), chroma * (1 - floor), tonnetz)]


def assert_equal_librosa(wave, rate_hz):
    tonnetz = rep(len(wave), rate_hz)
    x = jnp.asarray(wave)
    for stage, theirs in zip(tonnetz.chain()[1:], librosas(wave, rate_hz), strict=True):
        ours = np.asarray(stage.apply(x))[..., 0]
        assert ours.shape == theirs.shape
        # Float32 on both sides.
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1, theirs.max()))


def test_noise_and_chords_equal_librosa():
    rng = np.random.default_rng(0)
    t = np.arange(16_000) / 16_000
    chord = sum(0.2 * np.sin(2 * np.pi * f * t) for f in (261.63, 329.63, 392.0))
    for wave in (rng.normal(0, 0.1, 16_000), chord):
        assert_equal_librosa(wave.astype(np.float32), 16_000)


def test_real_clips_equal_librosa(advjax_data):
    soundfile = pytest.importorskip("soundfile")
    paths = sorted((advjax_data / "ESC-50" / "audio").glob("*.wav"))
    paths = paths[:: len(paths) // 5][:5]
    assert len(paths) == 5
    for path in paths:
        wave, rate_hz = soundfile.read(path, dtype="float32")
        assert_equal_librosa(wave, rate_hz)


def test_a_c_major_chord_has_its_classes():
    t = np.arange(16_000) / 16_000
    chord = sum(0.2 * np.sin(2 * np.pi * f * t) for f in (261.63, 329.63, 392.0))
    chroma = rep().source.apply(jnp.asarray(chord, jnp.float32))
    assert set(np.argsort(chroma[10, :, 0])[-3:].tolist()) == {0, 4, 7}


def test_silence_is_nothing():
    silence = jnp.zeros(16_000)
    assert np.abs(rep().source.apply(silence)).max() < 1e-6
    assert np.abs(rep().apply(silence)).max() < 1e-6
