import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.signal import framing


@pytest.mark.parametrize(
    ("num_samples", "count"),
    [(25_681, 160), (25_800, 160), (25_840, 160), (25_841, 161)],
)
def test_num_frames_follows_the_published_lengths(num_samples, count):
    assert framing.num_frames(num_samples, 400, 160) == count


def test_frame_pads_the_tail_with_zeros():
    frames = np.asarray(framing.frame(jnp.arange(1.0, 8.0), length=4, hop=2))
    assert frames.tolist() == [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 0]]


def test_frame_of_a_short_signal_is_one_padded_frame():
    assert framing.frame(jnp.ones(2), length=4, hop=2).tolist() == [[1, 1, 0, 0]]


def test_overlap_mean_undoes_frame():
    x = jnp.asarray(np.random.default_rng(0).normal(size=1001), jnp.float32)

    @jax.jit
    def to_frames_and_back(x):
        frames = framing.frame(x, length=40, hop=16)
        return framing.overlap_mean(frames, hop=16, num_samples=1001)

    back = to_frames_and_back(x)
    np.testing.assert_allclose(back, x, atol=1e-6)


def test_deemphasis_undoes_preemphasis_as_scipy_would():
    from scipy.signal import lfilter

    x = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    emphasised = jax.jit(framing.preemphasis)(x)
    np.testing.assert_allclose(emphasised, lfilter([1, -0.97], [1], x), atol=1e-5)
    np.testing.assert_allclose(jax.jit(framing.deemphasis)(emphasised), x, atol=2e-5)
