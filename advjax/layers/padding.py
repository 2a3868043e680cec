"""Maps of examples that are padded along their first axis."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def keep_own(
    x: Float[Array, "batch time *rest"], lengths: Int[Array, "batch"] | None
) -> Float[Array, "batch time *rest"]:
    """The maps, with zeros behind each example's own length; without lengths as is."""
    if lengths is None:
        return x
    own = jnp.arange(x.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
    return jnp.where(own.reshape(*x.shape[:2], *[1] * (x.ndim - 2)), x, 0)


def own_means(
    x: Float[Array, "batch height width channels"], lengths: Int[Array, "batch"] | None
) -> Float[Array, "batch channels"]:
    """The mean of each map over an example's own entries, in float32."""
    x = x.astype(jnp.float32)
    if lengths is None:
        return x.mean(axis=(1, 2))
    counts = lengths[:, None].astype(jnp.float32) * x.shape[2]
    return keep_own(x, lengths).sum(axis=(1, 2)) / counts
