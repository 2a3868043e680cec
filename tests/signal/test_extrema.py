import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.signal.extrema import greatest, least

X = jnp.asarray([[3.0, -1.0], [3.0, -1.0]])


@pytest.mark.parametrize(
    ("function", "value", "gradient"),
    [(greatest, 3.0, [[1, 0], [0, 0]]), (least, -1.0, [[0, 1], [0, 0]])],
)
def test_the_first_extreme_entry_takes_the_gradient(function, value, gradient):
    found, slope = jax.value_and_grad(function)(X)
    assert found == value
    np.testing.assert_array_equal(slope, np.float32(gradient))
