"""Maps of examples that are padded along their first axis."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from advjax.padding import Own


def keep_own(
    x: Float[Array, "batch time *rest"], lengths: Int[Array, "batch"] | None
) -> Float[Array, "batch time *rest"]:
    """The maps, with zeros behind each example's own length; without lengths as is."""
    if lengths is None:
        return x
    return jax.vmap(lambda row, length: Own(length).keep(row))(x, lengths)


def own_means(
    x: Float[Array, "batch height width channels"], lengths: Int[Array, "batch"] | None
) -> Float[Array, "batch channels"]:
    """The mean of each map over an example's own entries, in float32."""
    x = x.astype(jnp.float32)
    if lengths is None:
        return x.mean(axis=(1, 2))
    counts = lengths[:, None].astype(jnp.float32) * x.shape[2]
    return keep_own(x, lengths).sum(axis=(1, 2)) / counts
