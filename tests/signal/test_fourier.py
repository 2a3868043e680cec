import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from advjax.signal import fourier


@pytest.mark.parametrize("window", fourier.WINDOWS)
def test_stft_equals_scipy(window):
    x = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    ours = fourier.stft(jnp.asarray(x), length=400, hop=160, num_fft=512, window=window)
    name = {"rectangular": "boxcar"}.get(window, window)
    values = scipy.signal.get_window(name, 400)
    # SciPy centres slice p on sample p * hop: cutting the first half frame from the
    # signal's front puts slice 0 where our frame 0 lies.
    transform = scipy.signal.ShortTimeFFT(
        values, hop=160, fs=1, mfft=512, phase_shift=None
    )
    padded = np.concatenate([x, np.zeros(400, np.float32)])
    centre = transform.m_num_mid
    theirs = transform.stft(padded[centre:], p0=0, p1=len(ours))
    # Slice 0 reaches back over the cut: it sees zeros where frame 0 has the signal.
    for k in range(2, len(ours) - 1):
        lag = 160 * k
        frame = padded[lag : lag + 400]
        np.testing.assert_allclose(
            theirs[:, k], np.fft.rfft(frame * values, 512), atol=1e-4
        )
    np.testing.assert_allclose(ours[2:-1], theirs[:, 2 : len(ours) - 1].T, atol=2e-4)


def test_stft_refuses_what_it_cannot_do():
    x = jnp.zeros(1000)
    with pytest.raises(ValueError, match="unknown window"):
        fourier.stft(x, length=400, hop=160, num_fft=512, window="triangle")
    with pytest.raises(ValueError, match="would cut frames"):
        fourier.stft(x, length=400, hop=160, num_fft=256, window="hann")
