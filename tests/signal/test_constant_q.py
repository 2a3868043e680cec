import functools

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from advjax.signal import constant_q

DEFAULTS = {
    "sample_rate_hz": 32_000,
    "hop": 512,
    "num_bins": 64,
    "bins_per_octave": 9,
    "low_hz": 110.0,
}
# A hop that does not divide the frame, and a lower bin; kernels shorter than a hop; and
# kernels that begin after t hop.
OTHERS = {
    "long": {
        "sample_rate_hz": 16_000,
        "hop": 300,
        "num_bins": 60,
        "bins_per_octave": 12,
        "low_hz": 55.0,
    },
    "short": {
        "sample_rate_hz": 16_000,
        "hop": 1000,
        "num_bins": 5,
        "bins_per_octave": 2,
        "low_hz": 1000.0,
    },
    "early": {
        "sample_rate_hz": 16_000,
        "hop": 100,
        "num_bins": 4,
        "bins_per_octave": 1,
        "low_hz": 900.0,
    },
}


@functools.cache
def compiled(options):
    return jax.jit(functools.partial(constant_q.constant_q_power, **dict(options)))


def ours(wave, options):
    power = compiled(tuple(options.items()))
    return np.asarray(power(jnp.asarray(wave, jnp.float32)))


def direct(wave, options):
    """Inner products with librosa's kernels, float64."""
    rate_hz, hop = options["sample_rate_hz"], options["hop"]
    octaves = np.arange(options["num_bins"]) / options["bins_per_octave"]
    kernels, _ = librosa.filters.wavelet(
        freqs=options["low_hz"] * 2**octaves,
        sr=rate_hz,
        alpha=2 ** (1 / options["bins_per_octave"]) - 1,
        norm=1,
        dtype=np.complex128,
    )
    size = kernels.shape[1]  # a power of two; the phase is zero in its middle
    frames = -(-len(wave) // hop)
    padded = np.zeros(size + frames * hop + 512 + size)
    padded[size : size + len(wave)] = wave
    starts = size + hop * np.arange(frames) + 512 - size // 2
    held = padded[starts[:, None] + np.arange(size)]
    return (held @ kernels.real.T) ** 2 + (held @ kernels.imag.T) ** 2


def assert_equal(found, exact):
    assert found.shape == exact.shape
    # float32 sums: an amplitude is right to 1e-6 of the largest one.
    np.testing.assert_allclose(
        np.sqrt(found), np.sqrt(exact), atol=1e-6 * np.sqrt(exact.max()), rtol=1e-6
    )
    for range_db, relative in [(50, 1e-4), (80, 1e-3)]:
        shown = exact > 10 ** (-range_db / 10) * exact.max()
        np.testing.assert_allclose(found[shown], exact[shown], rtol=relative)


def signals(count):
    rng = np.random.default_rng(0)
    t = np.arange(count)
    click = np.zeros(count)
    click[count // 2] = 1.0
    return {
        "noise": 0.1 * rng.normal(size=count),
        "click": click,
        "chirp": np.sin(2 * np.pi * (0.005 * t + 0.2 / count * t**2)),
    }


@pytest.mark.parametrize("name", ["noise", "click", "chirp"])
def test_power_is_that_of_librosas_kernels(name):
    wave = signals(65_536)[name].astype(np.float32)
    found = ours(wave, DEFAULTS)
    assert found.shape == (128, 64)
    assert_equal(found, direct(wave, DEFAULTS))


@pytest.mark.parametrize("name", OTHERS)
def test_power_is_that_of_librosas_kernels_for_other_options(name):
    wave = signals(10_007)["noise"].astype(np.float32)
    assert_equal(ours(wave, OTHERS[name]), direct(wave, OTHERS[name]))


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 2000])
def test_any_length_works(count):
    wave = np.random.default_rng(1).normal(size=count).astype(np.float32)
    found = ours(wave, DEFAULTS)
    assert found.shape == (-(-count // 512), 64)
    if count:
        assert_equal(found, direct(wave, DEFAULTS))


def test_power_of_real_clips(advjax_data):
    soundfile = pytest.importorskip("soundfile")
    paths = sorted((advjax_data / "ESC-50" / "audio").glob("*.wav"))
    paths = paths[:: len(paths) // 3][:3]
    assert len(paths) == 3
    for path in paths:
        wave, rate_hz = soundfile.read(path, frames=65_536, dtype="float32")
        options = DEFAULTS | {"sample_rate_hz": rate_hz}
        assert_equal(ours(wave, options), direct(wave, options))


def test_a_tone_peaks_at_its_bin_with_a_quarter_of_its_squared_amplitude():
    frequencies_hz = constant_q.constant_q_frequencies()
    assert frequencies_hz[[0, 9, 63]] == pytest.approx([110, 220, 14_080])
    t = np.arange(16_384) / 32_000
    for k, leak in [(0, 1e-4), (1, 1e-4), (30, 1e-4), (50, 1e-4), (63, 0.02)]:
        found = ours(0.6 * np.sin(2 * np.pi * frequencies_hz[k] * t + 1.0), DEFAULTS)
        inside = found[3:-4]  # where all kernels see the tone alone
        assert (inside.argmax(axis=1) == k).all()
        np.testing.assert_allclose(inside[:, k], 0.6**2 / 4, rtol=leak)


def test_a_click_is_seen_through_the_window_by_the_frames_that_hold_it():
    click = np.zeros(16_384)
    click[8000] = 2.0
    found = ours(click, DEFAULTS)
    from_centre = 8000 - (512 + 512 * np.arange(32))
    for k, hz in enumerate(constant_q.constant_q_frequencies()):
        half = 32_000 / hz / (2 ** (1 / 9) - 1) / 2
        samples = 2 * int(half) + 1
        # The window peaks half a sample early, its sum is half its length.
        window = np.cos(np.pi * (from_centre + 0.5) / samples) ** 2
        window[np.abs(from_centre + 0.5) >= samples / 2] = 0.0
        np.testing.assert_allclose(
            found[:, k], (2 * window / (samples / 2)) ** 2, rtol=1e-4, atol=1e-12
        )
        assert (found[window == 0.0, k] == 0.0).all()


def test_gradient_is_that_of_the_direct_products():
    rng = np.random.default_rng(2)
    wave = 0.1 * rng.normal(size=5000).astype(np.float32)
    direction = rng.normal(size=5000)
    weights = rng.normal(size=(10, 64)).astype(np.float32)
    power = compiled(tuple(DEFAULTS.items()))
    gradient = jax.jit(jax.grad(lambda x: (power(x) * weights).sum()))(wave)
    slope = float(np.asarray(gradient, np.float64) @ direction)

    def exact(step):
        return (direct(wave + step * direction, DEFAULTS) * weights).sum()

    # Power is quadratic: a difference is a derivative whatever the step.
    assert slope == pytest.approx((exact(0.1) - exact(-0.1)) / 0.2, rel=1e-4)


def test_silence_has_no_power_and_no_gradient():
    power = compiled(tuple(DEFAULTS.items()))
    silence = jnp.zeros(4096)
    assert (np.asarray(power(silence)) == 0.0).all()
    gradient = jax.grad(lambda x: jnp.log(power(x) + 1e-10).sum())(silence)
    assert (np.asarray(gradient) == 0.0).all()


def test_a_bin_that_the_sampling_cannot_hold_is_refused():
    x = jnp.zeros(1000)
    with pytest.raises(
        ValueError, match="bin 65 at 16425 Hz.*lower num_bins or low_hz"
    ):
        constant_q.constant_q_power(x, num_bins=66)
    with pytest.raises(ValueError, match="half the sample rate, 8000 Hz"):
        constant_q.constant_q_power(x, sample_rate_hz=16_000)
    with pytest.raises(ValueError, match="lower num_bins or low_hz"):
        constant_q.constant_q_power(x, num_bins=1, low_hz=16_000.0)
    constant_q.constant_q_power(x, num_bins=65)


@pytest.mark.parametrize("name", DEFAULTS)
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match="must be positive"):
        constant_q.constant_q_power(jnp.zeros(1000), **{name: 0})
