import jax.numpy as jnp
import numpy as np
import pytest

from advjax.signal.samples import from_int16, to_int16


def test_sixteen_bit_round_trip_is_exact_for_every_value():
    every = np.arange(-32768, 32768).astype(np.int16)
    wave = from_int16(every)
    assert wave.dtype == np.float32 and wave.min() == -1 and wave.max() < 1
    np.testing.assert_array_equal(to_int16(wave), every)
    np.testing.assert_array_equal(from_int16(jnp.asarray(every)), wave)


def test_rounding_and_saturation():
    wave = np.array([1.0, 1.7, -1.0, -3.0, 0.6 / 32768, -0.6 / 32768, 0.4 / 32768])
    expected = [32767, 32767, -32768, -32768, 1, -1, 0]
    np.testing.assert_array_equal(to_int16(wave), expected)
    with pytest.raises(ValueError, match="NaN"):
        to_int16(np.array([np.nan]))
