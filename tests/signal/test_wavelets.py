import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from advjax.signal import wavelets

OMEGA0, RATE_HZ, FRAME, HOP = 6.0, 8000, 240, 120
# From the sampling limit to a wavelet almost as long as a frame (D = 72 samples).
SCALES = wavelets.morlet_scales(
    np.geomspace(112.0, 3200.0, 9), omega0=OMEGA0, sample_rate_hz=RATE_HZ
)


@functools.cache
def compiled(scales, hop):
    weights = wavelets.morlet_weights(
        np.asarray(scales), omega0=OMEGA0, frame_length=FRAME
    )
    return jax.jit(
        functools.partial(
            wavelets.scalogram_power, weights=weights, frame_length=FRAME, hop=hop
        )
    )


def ours(wave, scales=SCALES, hop=HOP):
    return np.asarray(compiled(tuple(scales), hop)(jnp.asarray(wave, jnp.float32)))


def pooled(transform, first, scales, count):
    """Gaussian means of |transform|^2 [scales, times], the first time being `first`."""
    time = first + np.arange(transform.shape[1])
    deviations = wavelets.pooling_deviations(scales, frame_length=FRAME)
    found = np.empty((count, len(scales)))
    for k in range(count):
        from_centre = time - (k * HOP + (FRAME - 1) / 2)
        for b, deviation in enumerate(deviations):
            h = np.exp(-0.5 * (from_centre / deviation) ** 2)
            found[k, b] = np.abs(transform[b]) ** 2 @ (h / h.sum())
    return found


def direct(wave, scales):
    """The definition in float64, and the time of its first column: before the wave."""
    reach = int(np.ceil(9 * max(scales)))
    t = np.arange(-reach, reach + 1)
    rows = []
    for s in scales:
        psi = np.exp(1j * OMEGA0 * t / s - (t / s) ** 2 / 2) / np.sqrt(2 * np.pi * s)
        rows.append(np.convolve(wave.astype(np.float64), np.conj(psi)[::-1]))
    return np.stack(rows), -reach


def signals():
    rng = np.random.default_rng(0)
    t = np.arange(1500)
    click = np.zeros(1500)
    click[700] = 1.0
    chirp = np.sin(2 * np.pi * (0.01 * t + 0.4 / 3000 * t**2))
    return {"noise": 0.1 * rng.normal(size=1500), "click": click, "chirp": chirp}


@pytest.mark.parametrize("name", ["noise", "click", "chirp"])
def test_power_is_that_of_the_direct_transform(name):
    wave = signals()[name].astype(np.float32)
    found = ours(wave)
    exact = pooled(*direct(wave, SCALES), SCALES, len(found))
    assert found.shape == (1 + -(-(1500 - FRAME) // HOP), len(SCALES))
    # float32 sums of float32 spectra; the window's cut is 2e-11 of a frame's power.
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=1e-6 * exact.max())
    # Levels 80 dB below the loudest, which images show, are right to 0.1 dB.
    shown = exact > 1e-8 * exact.max()
    np.testing.assert_allclose(found[shown], exact[shown], rtol=0.02)


def test_wavelet_is_that_of_pywavelets():
    wavelet = pywt.ContinuousWavelet(f"cmor2.0-{OMEGA0 / (2 * np.pi)}")
    psi, t = wavelet.wavefun(length=1001)
    closed = np.exp(1j * OMEGA0 * t - t**2 / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(psi, closed, atol=1e-7)  # it keeps C in float32


def test_power_is_that_of_pywavelets():
    wave = signals()["noise"]
    scales = SCALES[SCALES > 8]
    transform, frequencies = pywt.cwt(
        wave,
        scales,
        f"cmor2.0-{OMEGA0 / (2 * np.pi)}",
        sampling_period=1 / RATE_HZ,
        precision=16,
    )
    np.testing.assert_allclose(
        wavelets.morlet_scales(frequencies, omega0=OMEGA0, sample_rate_hz=RATE_HZ),
        scales,
        rtol=0.03,  # PyWavelets reads its centre frequency off a short transform
    )
    found = ours(wave, scales)[3:-3]  # PyWavelets knows no times outside the signal
    theirs = pooled(transform, 0, scales, len(found) + 3)[3:]
    # PyWavelets takes means of the wavelet over a sample, 1 - (6 / s)^2 / 24 = 0.977 of
    # the amplitude at scale 8, and floors its index into 2^16 points.
    np.testing.assert_allclose(np.sqrt(found), np.sqrt(theirs), rtol=0.05)


def test_a_tone_has_the_closed_form():
    cycles = 440 / RATE_HZ
    tone = 0.5 * np.cos(2 * np.pi * cycles * np.arange(1500))
    middle = np.sqrt(ours(tone)[5])
    response = np.exp(-0.5 * (2 * np.pi * cycles * SCALES - OMEGA0) ** 2)
    # The negative frequency is left out: it is exp(-18) of an amplitude or less.
    np.testing.assert_allclose(middle, 0.25 * np.sqrt(SCALES) * response, atol=2e-5)


def test_power_is_never_negative():
    rng = np.random.default_rng(1)
    t = np.arange(1500)
    wave = np.sin(2 * np.pi * 0.4 * t) + 1e-6 * rng.normal(size=1500)
    assert ours(wave).min() >= 0.0


def test_a_click_is_seen_as_long_at_every_scale():
    found = ours(signals()["click"], hop=12)
    at_its_middle = found.argmax(axis=0)
    half = (found > found.max(axis=0) / 2).sum(axis=0) * 12
    assert np.ptp(at_its_middle) <= 1
    np.testing.assert_allclose(half, FRAME / 2, atol=12)


def test_gradient_is_that_of_the_direct_transform():
    wave = signals()["noise"].astype(np.float32)
    direction = np.random.default_rng(2).normal(size=1500)
    power = compiled(tuple(SCALES), HOP)
    gradient = jax.jit(jax.grad(lambda x: jnp.sqrt(power(x)).sum()))(wave)
    slope = float(np.asarray(gradient, np.float64) @ direction)

    def exact(step):
        moved = wave.astype(np.float64) + step * direction
        return np.sqrt(pooled(*direct(moved, SCALES), SCALES, len(ours(wave)))).sum()

    assert slope == pytest.approx((exact(1e-6) - exact(-1e-6)) / 2e-6, rel=1e-4)


def test_a_wavelet_longer_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="raise min_hz, or make frame_length"):
        wavelets.morlet_weights(np.array([73.0]), omega0=6.0, frame_length=FRAME)
    wavelets.morlet_weights(np.array([72.0]), omega0=6.0, frame_length=FRAME)
