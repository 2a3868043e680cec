import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.padding import Own, Padded, PaddedLogits, apart, own, pad

X = [np.float32([1, 2, 3]), np.float32([4, 5])]


def test_examples_are_padded_with_zeros_behind():
    x, lengths = pad(X, 4)
    np.testing.assert_array_equal(x, [[1, 2, 3, 0], [4, 5, 0, 0]])
    assert lengths.tolist() == [3, 2]
    assert apart(np.ones(3))[1] is None
    with pytest.raises(ValueError, match="an example has 3 entries"):
        pad(X, 2)


@pytest.mark.parametrize("lengths", [[1], [1, 5], [-1, 2], [[1, 2]]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ValueError, match="lengths"):
        apart(Padded(np.ones((2, 4), np.float32), np.asarray(lengths)))


def test_padding_that_is_not_zero_is_refused():
    with pytest.raises(ValueError, match="example 1 has other entries than zero"):
        apart(Padded(np.float32([[1, 2, 0], [3, 4, 5]]), np.array([2, 2])))


def test_the_padding_counts_for_nothing():
    values = jnp.arange(1.0, 9.0).reshape(4, 2)
    part = Own(jnp.int32(3))
    assert float(part.keep(values)[3].sum()) == 0
    assert int(part.count(values)) == 6 and float(part.mean(values)) == 3.5
    assert Own().count(values) == 8 and float(Own().mean(values)) == 4.5


def test_logits_see_zeros_in_the_padding_and_no_gradient_leads_there():
    f = PaddedLogits(lambda x, length: jnp.stack([x.sum(), length * 1.0]), np.int32(2))
    x = jnp.array([1.0, 2.0, 7.0])
    np.testing.assert_array_equal(f(x), [3, 2])
    np.testing.assert_array_equal(jax.grad(lambda x: f(x)[0])(x), [1, 1, 0])
    assert own(f).length == 2 and own(lambda x: x).length is None


@pytest.mark.parametrize("draw", [jax.random.normal, jax.random.uniform])
def test_a_longer_draw_begins_with_the_shorter_one(draw):
    key = jax.random.key(3)
    np.testing.assert_array_equal(draw(key, (500,)), draw(key, (1300,))[:500])
    np.testing.assert_array_equal(draw(key, (5, 7)), draw(key, (13, 7))[:5])
