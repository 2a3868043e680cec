import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from advjax.interop import plain_programs
from advjax.interop.plain_programs import plain

X = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)


def same(function, x=X):
    """The operations of the plain program, whose result is checked."""
    ours = plain(function, jax.ShapeDtypeStruct(x.shape, x.dtype))
    np.testing.assert_allclose(ours(x), function(x), rtol=2e-5, atol=2e-5)
    size = jax.export.symbolic_shape("batch")[0]
    free = jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype)
    program = jax.make_jaxpr(plain(function, free))(free)
    return [each.primitive.name for each in program.eqns]


@pytest.mark.parametrize(
    "widths", [(2, 3, 0), (0, 0, 0), (-1, 2, 0), (1, -2, 1), (0, 0, 3), (2, 1, 2)]
)
def test_padding_joins_blocks(widths):
    found = same(lambda x: lax.pad(x, jnp.float32(7), ((0, 0, 0), widths)))
    assert "pad" not in found


@pytest.mark.parametrize("size", [12, 9, 16])
@pytest.mark.parametrize("kind", ["rfft", "fft", "ifft", "irfft"])
def test_fourier_transforms_are_products(kind, size):
    def levels(x):
        spectrum = jnp.fft.fft(x, size) if kind in ("ifft", "irfft") else x
        found = getattr(jnp.fft, kind)(spectrum, size)
        return jnp.real(found) + 2 * jnp.imag(found)

    assert "fft" not in same(levels)


def test_a_transform_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(plain_programs, "MOST_FOURIER", 8)
    with pytest.raises(ValueError, match="Fourier transform of 12 samples"):
        same(lambda x: jnp.abs(jnp.fft.rfft(x)))


def test_complex_numbers_become_their_parts():
    def values(x):
        z = lax.complex(x, 1 - x) * (2 - 3j)
        z = jnp.concatenate([z * jnp.conj(z[:, ::-1]), -z / (z[:, :1] + 4)], axis=1)
        z = jnp.pad(z, ((0, 0), (1, 0))) - x.astype(jnp.complex64)[:, :1]
        turned = jnp.moveaxis(z[:, None, jnp.array([3, 1, 7])], 2, 1)
        return jnp.abs(turned)[..., 0] + z.imag.sum(1, keepdims=True)

    assert not {"complex", "real", "conj"} & set(same(values))


def test_a_loop_from_the_end_becomes_one_from_the_start():
    def sums(x):
        step = lambda carry, row: (0.5 * carry + row, carry)  # noqa: E731
        last, all_of_them = lax.scan(step, jnp.zeros(len(x)), x.T, reverse=True)
        return all_of_them + last[None]

    ours = plain(sums, jax.ShapeDtypeStruct(X.shape, X.dtype))
    np.testing.assert_allclose(ours(X), sums(X), rtol=1e-5)
    (loop,) = [e for e in jax.make_jaxpr(ours)(X).eqns if e.primitive.name == "scan"]
    assert not loop.params["reverse"]


def test_calls_are_unfolded_and_what_is_not_used_is_left_out():
    @jax.custom_vjp
    def double(x):
        return jax.jit(lambda x: 2 * x)(lax.optimization_barrier(x))

    double.defvjp(lambda x: (double(x), None), lambda _, cotangent: (cotangent,))

    def function(x):
        jnp.sort(x)
        return jax.checkpoint(jax.nn.relu)(double(x)) + jnp.arange(12.0)[None]

    assert {*same(function)} <= {"mul", "max", "add"}
