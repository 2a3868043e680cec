import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.surf_svm import svd
from advjax.surf_svm.svd import kept_rank

reduce_rank = jax.jit(svd.reduce_rank, static_argnames=("energy", "rank"))


def matrix(values, shape=(12, 9), seed=0):
    """A matrix of known singular values."""
    generator = np.random.default_rng(seed)
    left, _ = np.linalg.qr(generator.normal(size=(shape[0], len(values))))
    right, _ = np.linalg.qr(generator.normal(size=(shape[1], len(values))))
    return jnp.asarray((left * np.asarray(values)) @ right.T, jnp.float32)


@pytest.mark.parametrize(
    ("energy", "rank"), [(0.5, 1), (0.8, 1), (0.82, 2), (0.97, 2), (0.98, 3), (1.0, 3)]
)
def test_the_energy_decides_the_rank(energy, rank):
    # Shares of the energy: 100/123, 20/123, 3/123.
    values = np.sqrt([100.0, 20.0, 3.0])
    found = np.asarray(reduce_rank(matrix(values), energy=energy))
    assert np.linalg.matrix_rank(found, tol=1e-3) == rank
    # Eckart and Young: the error consists of the other singular values.
    error = np.linalg.norm(found - matrix(values))
    assert error == pytest.approx(np.linalg.norm(values[rank:]), abs=1e-4)


@pytest.mark.parametrize("shape", [(12, 9), (9, 12), (9, 9)])
def test_a_rank_is_numpys_truncated_decomposition(shape):
    x = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)
    u, s, vt = np.linalg.svd(x)
    np.testing.assert_allclose(
        reduce_rank(x, rank=4), (u[:, :4] * s[:4]) @ vt[:4], atol=1e-5
    )


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
def test_the_gradient_is_that_of_differences(shape):
    generator = np.random.default_rng(2)
    x, along, weights = (
        generator.normal(size=shape).astype(np.float32) for _ in range(3)
    )
    score = lambda x: jnp.vdot(weights, reduce_rank(x, rank=2))  # noqa: E731
    gradient = jax.jit(jax.grad(score))(x)

    def truncated(x):
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        return (u[:, :2] * s[:2]) @ vt[:2]

    ends = (truncated(np.float64(x) + sign * 1e-6 * along) for sign in (1, -1))
    plus, minus = (np.vdot(weights, end) for end in ends)
    assert np.vdot(gradient, along) == pytest.approx((plus - minus) / 2e-6, rel=1e-3)


def test_equal_singular_values_have_a_finite_gradient():
    x = jnp.diag(jnp.asarray([3.0, 3.0, 1.0, 1.0]))
    score = lambda x: jnp.sum(jnp.square(reduce_rank(x, rank=2)))  # noqa: E731
    gradient = jax.jit(jax.grad(score))(x)
    # The sum of the squares of the kept values has the derivative 2 s by each.
    np.testing.assert_allclose(
        gradient, jnp.diag(jnp.asarray([6.0, 6, 0, 0])), atol=1e-5
    )


def test_silence_stays_silence():
    x = jnp.zeros((5, 4))
    assert (reduce_rank(x) == 0).all()
    assert np.isfinite(jax.jit(jax.grad(lambda x: reduce_rank(x).sum()))(x)).all()


def decaying(shape=(70, 90), seed=4):
    """A matrix whose singular values fall like those of a spectrogram."""
    return matrix(100.0 / np.arange(1, 61) ** 1.5, shape, seed)


def sketched(monkeypatch, count=24):
    """`reduce_rank` where the images of these tests are large."""
    monkeypatch.setattr(svd, "_LARGE", 32)
    monkeypatch.setattr(svd, "_SKETCH", count)
    # Another function, so that no program of an exact decomposition is found.
    return lambda image, **options: svd.reduce_rank(image, **options)


def test_a_sketch_finds_the_greatest_triplets():
    x = decaying()
    u, values, vt = svd.sketched_svd(x, 24)
    wanted = np.linalg.svd(x)
    np.testing.assert_allclose(values[:16], wanted.S[:16], rtol=1e-3)
    np.testing.assert_allclose(u.T @ u, np.eye(24), atol=1e-5)
    for count in (1, 5, 12):
        ours, theirs = (
            (np.asarray(u)[:, :count] * np.asarray(s)[:count]) @ np.asarray(vt)[:count]
            for u, s, vt in ((u, values, vt), wanted)
        )
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * np.abs(x).max())


@pytest.mark.parametrize("shape", [(70, 90), (90, 70)])
def test_a_large_image_is_reduced_like_a_small_one(monkeypatch, shape):
    x = decaying(shape)
    cotangent = jnp.asarray(np.random.default_rng(5).normal(size=shape), jnp.float32)

    def both(function):
        found, back = jax.vjp(lambda x: function(x, energy=0.95), x)
        return found, back(cotangent)[0]

    exact = both(svd.reduce_rank)
    function = sketched(monkeypatch)
    # The derivative lacks the curvature towards triplets beyond the sketch.
    for ours, theirs, most in zip(both(function), exact, (1e-3, 0.02), strict=True):
        assert np.linalg.norm(ours - theirs) < most * np.linalg.norm(theirs)
    np.testing.assert_allclose(jax.jit(function)(x), exact[0], atol=1e-2)


def test_a_sketch_keeps_what_it_has_where_that_is_less_than_the_energy(monkeypatch):
    x = jnp.asarray(np.random.default_rng(6).normal(size=(60, 50)), jnp.float32)
    found = np.asarray(sketched(monkeypatch, 8)(x, energy=0.95))
    assert np.linalg.matrix_rank(found, tol=1e-2) == 8
    # Of less energy the share is that of the whole image, not of the sketch.
    values = np.linalg.svd(x, compute_uv=False) ** 2
    rank = 1 + int(np.searchsorted(np.cumsum(values) / values.sum(), 0.2))
    found = np.asarray(sketched(monkeypatch, 16)(x, energy=0.2))
    assert abs(np.linalg.matrix_rank(found, tol=1e-2) - rank) <= 1


@pytest.mark.parametrize(
    ("options", "message"), [({"energy": 0.0}, "share"), ({"rank": 0}, "at least one")]
)
def test_options_that_keep_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kept_rank(jnp.ones(3), **options)
