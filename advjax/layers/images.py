"""Parts of networks for images: scaling, response norm, pooling before the head."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

HE = nn.initializers.he_normal()
"""Initial kernels of networks with ReLU. Source: He et al. 2015, arXiv:1502.01852."""


def scale_size(size: int, width: int, full: int, multiple: int = 1) -> int:
    """`size`, scaled to a network with `width` first channels instead of `full`.

    The nearest multiple of `multiple`, and at least one.
    """
    return multiple * max(1, round(size * width / full / multiple))


def centre(
    images: Float[Array, "batch height width channels"], resize: int | None
) -> Float[Array, "batch out_height out_width channels"]:
    """Images scaled from [0, 1] to [-1, 1], and resized to a square if `resize`.

    The interpolation is bilinear, with smoothing where an image shrinks.
    """
    if resize is not None:
        shape = (len(images), resize, resize, images.shape[-1])
        images = jax.image.resize(images, shape, "bilinear")
    return 2 * images - 1


def vectors(
    x: Float[Array, "batch height width channels"], *, pooled: bool
) -> Float[Array, "batch features"]:
    """Each example's maps as a vector: all entries or, if `pooled`, each mean.

    The result is float32, whatever the type of the maps.
    """
    x = x.astype(jnp.float32)
    return x.mean(axis=(1, 2)) if pooled else x.reshape(len(x), -1)


def local_response_norm(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
    """Local response normalisation over five channels.

    Each entry is divided by (1 + 1e-4 / 5 * s)^0.75, where s sums the squares of the
    entry's own channel and two on either side, as far as there are any.

    Source: Krizhevsky et al. 2012, section 3.3, with the form and constants of Caffe's
    AlexNet and GoogLeNet. The constants are for pixels up to 255; images within [-1, 1]
    hardly change.
    """
    channels = x.shape[-1]
    squares = jnp.pad(x * x, ((0, 0), (0, 0), (0, 0), (2, 2)))
    sums = sum(squares[..., first : first + channels] for first in range(5))
    root = lax.rsqrt(1 + 1e-4 / 5 * sums)
    return x * root * jnp.sqrt(root)
