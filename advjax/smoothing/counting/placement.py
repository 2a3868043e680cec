"""Layout of noisy copies on the devices."""

from typing import NamedTuple

from jax.sharding import Mesh

from advjax.runtime import parallel, targets
from advjax.smoothing.counting.workers import Workers

DEFAULT_CHUNK = 40
"""Tiles that each device takes per dispatch: a fraction of a second to a few."""

_TILES = {"cpu": 20}
_ACCELERATOR_TILE = 1000


class Placement(NamedTuple):
    """The layout of noisy copies on the devices.

    Attributes:
        tile: noisy copies of one example evaluated at once; None for the default of
            the bound and the backend. Another tile draws other noise.
        chunk: how often each device evaluates `tiles_at_once` tiles per dispatch; None
            for `DEFAULT_CHUNK`. It does not change the result.
        mesh: devices that share the tiles; None for one, where the example is. They do
            not change the result.
        tiles_at_once: of a bound that stops early, tiles that each device evaluates
            side by side; None for as many as make `default_tile()` copies. It decides
            memory, and how logits round.
        num_slots: of a bound that stops early, examples counted at once; None for four
            for each tile evaluated at once. It does not change the result.
        workers: processes that share the tiles, in place of a mesh, once they are
            ready. They do not change the result.
    """

    tile: int | None = None
    chunk: int | None = None
    mesh: Mesh | None = None
    tiles_at_once: int | None = None
    num_slots: int | None = None
    workers: Workers | None = None

    @property
    def num_devices(self) -> int:
        """Devices that share the tiles; a worker has one."""
        if self.workers is not None:
            return len(self.workers)
        return 1 if self.mesh is None else self.mesh.size

    def of_next_dispatch(self) -> "Placement":
        """The placement, without workers as long as they are not ready."""
        if self.workers is None or self.workers.are_ready():
            return self
        return self._replace(workers=None)

    def complete(self) -> "Placement":
        """The placement with the backend's tile and chunk where none are given."""
        return self._replace(
            tile=default_tile() if self.tile is None else self.tile,
            chunk=DEFAULT_CHUNK if self.chunk is None else self.chunk,
        )


DEFAULT_PLACEMENT = Placement()
"""The default tile, on one device."""


def whole_process() -> Placement:
    """The default tile, on all devices of this process."""
    return Placement(mesh=parallel.local_mesh())


def default_tile() -> int:
    """Noisy copies evaluated at once on the default backend: 20 on CPU, else 1000.

    Activations of 16 to 50 copies stay in a CPU's cache (large batches measured slower
    there); an accelerator wants its batch large. 1000 is Cohen et al.'s batch.
    """
    return _TILES.get(targets.platform(), _ACCELERATOR_TILE)
