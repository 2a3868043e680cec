import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from advjax.surf_svm import fast_hessian, surf

judge = pytest.importorskip("mahotas.features.surf")


# Compiled as a whole, which is faster than one operation at a time.
key_points = jax.jit(surf.key_points, static_argnames=("upright",))
descriptors = jax.jit(surf.descriptors)
dominant_angles = jax.jit(surf.dominant_angles)


@functools.partial(jax.jit, static_argnums=1)
def maxima_of_octave(image, octave):
    values = fast_hessian._determinants(image, octave, 4)
    return fast_hessian._maxima_of_octave(values, octave, 500)


def texture(shape=(160, 140), seed=0, smooth=2.0):
    """Smoothed noise within [0, 1]."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), smooth)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def points(place, scale, angle=0.0):
    place = np.atleast_2d(np.asarray(place, np.float32))
    each = np.ones(len(place), np.float32)
    return surf.KeyPoints(
        jnp.asarray(place), jnp.asarray(each * scale), jnp.asarray(each * angle),
        jnp.asarray(each), jnp.ones(len(place), bool),
    )  # fmt: skip


def there(found):
    return {name: np.asarray(x)[np.asarray(found.present)] for name, x in
            found._asdict().items()}  # fmt: skip


def cosines(a, b):
    return np.sum(np.asarray(a) * np.asarray(b), axis=1)


def test_maxima_are_those_of_mahotas():
    image = texture()
    # mahotas' values reach 255, and it moves points by up to one and a half steps.
    expected = judge.interest_points(image * 255.0, 2, 4, 1, 0.1)
    found = [maxima_of_octave(jnp.asarray(image), octave) for octave in (0, 1)]
    places, _, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    scores = scores * 255.0**2
    assert len(expected) > 50
    missed = 0
    for row in expected:
        away = np.abs(places - row[:2]).max(axis=1)
        same = (away < 3) & (np.abs(scores - row[3]) < 2e-3 * row[3])
        missed += not same.any()
    # The two differ in which points are within half a step.
    assert missed <= 0.1 * len(expected)


def test_descriptors_are_those_of_mahotas_at_its_points():
    image = texture()
    expected = judge.surf(image * 255.0, 2, 4, 1, 0.1)
    assert len(expected) > 30
    at = points(expected[:, :2], 1.0)._replace(
        scale=jnp.asarray(expected[:, 2], jnp.float32),
        angle=jnp.asarray(expected[:, 5], jnp.float32),
    )
    found = np.asarray(descriptors(jnp.asarray(image), at))
    # A sample that lies on the edge of a pixel may be rounded to either side of it.
    assert np.mean(np.abs(found - expected[:, 6:])) < 1e-4
    assert cosines(found, expected[:, 6:]).min() > 0.998


@pytest.mark.parametrize("deviation", [2.5, 3.5, 5.0, 7.0])
def test_a_blob_is_found_where_it_is_and_grows_with_it(deviation):
    rows, columns = np.mgrid[:160, :160]
    away = (rows - 80.3) ** 2 + (columns - 80.4) ** 2
    image = np.exp(-away / (2 * deviation**2)).astype(np.float32)
    found = there(key_points(jnp.asarray(image)))
    np.testing.assert_allclose(found["place"][0], [80.3, 80.4], atol=0.1)
    # For this filter; mahotas, whose steps have the other sign, finds 0.59 to 0.88.
    assert found["scale"][0] / deviation == pytest.approx(0.74, abs=0.05)


def test_flat_images_have_no_key_points():
    found = key_points(jnp.full((80, 80), 0.3))
    assert not found.present.any()
    described = descriptors(jnp.full((80, 80), 0.3), points((40, 40), 2.0))
    # The halves of a wavelet of odd size differ by a line; those of size 4 do not.
    assert np.abs(described).max() < 1e-3
    gradient = jax.grad(lambda x: descriptors(x, points((40, 40), 2.0)).sum())(
        jnp.zeros((80, 80))
    )
    assert np.isfinite(gradient).all()


def test_descriptors_turn_with_the_image():
    image = texture((121, 121), smooth=3.0)
    found = there(key_points(jnp.asarray(image), upright=False))
    at = points(found["place"], 1.0)._replace(
        scale=jnp.asarray(found["scale"]), angle=jnp.asarray(found["angle"])
    )
    before = descriptors(jnp.asarray(image), at)
    assert len(before) >= 10
    # A quarter of a turn: (row, column) goes to (120 - column, row).
    turned = np.rot90(image).copy()
    place = np.stack([120 - found["place"][:, 1], found["place"][:, 0]], axis=1)
    moved = at._replace(place=jnp.asarray(place))
    angles = dominant_angles(jnp.asarray(turned), moved)
    difference = np.asarray(angles) - found["angle"] - np.pi / 2
    difference = np.abs((difference + np.pi) % (2 * np.pi) - np.pi)
    # The window is chosen among 109 samples, which the grid of pixels moves.
    assert np.median(difference) < 0.1
    after = descriptors(jnp.asarray(turned), moved._replace(angle=angles))
    assert np.median(cosines(before, after)) > 0.9
    upright = descriptors(jnp.asarray(turned), moved._replace(angle=at.angle))
    assert np.median(cosines(before, upright)) < 0.7


def test_descriptors_grow_with_the_image():
    image = texture((100, 100), smooth=3.0)
    larger = ndimage.zoom(image, 1.5, order=3).astype(np.float32)
    places = np.asarray([(45.0, 50.0), (50.0, 42.0), (55.0, 55.0)])
    before = descriptors(jnp.asarray(image), points(places, 2.0))
    ratio = (np.asarray(larger.shape) - 1) / (np.asarray(image.shape) - 1)
    after = descriptors(jnp.asarray(larger), points(places * ratio, 2.0 * ratio[0]))
    assert cosines(before, after).min() > 0.9
    same = descriptors(jnp.asarray(larger), points(places * ratio, 2.0))
    assert cosines(before, same).max() < cosines(before, after).min()


def test_the_gradient_of_descriptors_is_that_of_differences():
    image = jnp.asarray(texture((60, 60), smooth=2.0))
    at = points([(30.0, 30.0)], 1.6)
    weights = np.random.default_rng(3).normal(size=64).astype(np.float32)

    def value(x):
        return jnp.vdot(weights, descriptors(x, at)[0])

    gradient = jax.grad(value)(image)
    along = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(60, 60)), 1)
    along = jnp.asarray(along, jnp.float32)
    step = 1e-2
    slope = (value(image + step * along) - value(image - step * along)) / (2 * step)
    assert float(jnp.vdot(gradient, along)) == pytest.approx(float(slope), rel=0.03)


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 39x39"):
        surf.key_points(jnp.zeros((38, 200)))
