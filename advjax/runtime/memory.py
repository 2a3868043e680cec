"""Memory that a program needs, and that a device or the host has free."""

import math
import pathlib
from collections.abc import Callable

import jax
from jax.sharding import Mesh

from advjax.runtime.failures import is_out_of_memory

_ROOT = pathlib.Path("/")


def program_memory(compiled: jax.stages.Compiled) -> int:
    """Bytes of a program on each device: arguments, results and temporaries."""
    sizes = compiled.memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        - sizes.alias_size_in_bytes
        + sizes.temp_size_in_bytes
    )


def free_memory(mesh: Mesh | None) -> float:
    """Bytes that a program may take on a device; infinity if unknown.

    Args:
        mesh: the devices that share the program; None for the first of the process.
    """
    device = jax.local_devices()[0] if mesh is None else mesh.local_devices[0]
    stats = device.memory_stats()
    if stats is not None:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    share = 1 if mesh is None else len(mesh.local_devices)
    return free_host_memory() / share


def largest_that_fits(size: int, fits: Callable[[int], bool]) -> int | None:
    """The largest of `size`, `size // 2`, ... that fits; None if not even 1 does.

    Args:
        size: at least 1.
        fits: tries a size. One at which a device has no memory left does not fit.
    """
    while size:
        try:
            if fits(size):
                return size
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
        size //= 2
    return None


def free_host_memory(root: pathlib.Path = _ROOT) -> float:
    """Bytes that this process may still allocate, within the limits of a container.

    Infinity if unknown. The least of the free memory of the operating system and of
    each control group on the way to the root, of version 2 and of version 1. Pages of
    files that were read and not used since count as free, since the system may drop
    them.

    Args:
        root: folder with `proc` and `sys`.

    Source: the kernel's documentation, admin-guide/cgroup-v2.rst and
    admin-guide/cgroup-v1/memory.rst.
    """
    kilobytes = _field(root / "proc/meminfo", "MemAvailable:")
    found = [math.inf if kilobytes is None else kilobytes * 1024]
    for group, limit, usage, inactive in _groups(root):
        most, used = _number(group / limit), _number(group / usage)
        if most is not None and used is not None:
            used -= min(_field(group / "memory.stat", inactive) or 0, used)
            found.append(max(0, most - used))
    return min(found)


def _groups(root: pathlib.Path):
    """Each control group of this process, with the names of its files."""
    mounted = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            kind = mounted, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            kind = (
                mounted / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        top, *names = kind
        parts = [part for part in path.split("/") if part not in ("", "..")]
        # Inside a container the path may be the host's; the mount is then the group.
        for length in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:length]), *names


def _text(path: pathlib.Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _number(path: pathlib.Path) -> int | None:
    """Number in a file; None if there is none, as in "max"."""
    text = (_text(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _field(path: pathlib.Path, name: str) -> int | None:
    """Number after a name at the start of a line."""
    for line in (_text(path) or "").splitlines():
        key, *rest = line.split()[:2] or [""]
        if key == name and rest and rest[0].isdecimal():
            return int(rest[0])
    return None
