"""The kind of device that programs are compiled for.

A program's form may depend on it: a form that is fast on a CPU is often slow elsewhere.
Every such choice asks `platform`, so that a program for an accelerator can be compiled,
and read, on a machine that has none.
"""

import contextlib
from collections.abc import Iterable, Iterator

import jax

PLATFORMS = ("cpu", "gpu", "tpu")
"""Names of the kinds of device, as in `jax.default_backend`."""

STOCK_FORMS: dict[str, frozenset[str]] = {
    "cpu": frozenset(),
    "gpu": frozenset({"input_gradient", "sum"}),
    "tpu": frozenset({"input_gradient", "sum"}),
}
"""Operations of layers that take XLA's own form, by kind of device.

There are also "clip" and "pool". In a training step of ResCNN compiled for an H100, a
clamp in the place of two selects moves more bytes and XLA's input gradient fewer; sums
are the same. XLA's pooling was compared only together with the clamp, which moved more.
A TPU has what a GPU has, untested.
"""

_chosen: str | None = None
_forms: frozenset[str] | None = None


def platform() -> str:
    """The kind of device to compile for: the default backend's, or a chosen one."""
    # The backend is queried here, not at import: an import must not start it.
    return _chosen or jax.default_backend()


def on_cpu() -> bool:
    """Tell whether programs are compiled for a CPU."""
    return platform() == "cpu"


def takes_stock(operation: str) -> bool:
    """Tell whether an operation of `STOCK_FORMS` takes XLA's own form."""
    return operation in (STOCK_FORMS[platform()] if _forms is None else _forms)


@contextlib.contextmanager
def choosing_forms(operations: Iterable[str]) -> Iterator[None]:
    """Trace programs in which these operations, and no others, take XLA's own form.

    What JAX traced before is forgotten, as by `compiling_for`.
    """
    global _forms
    before = _forms
    jax.clear_caches()
    _forms = frozenset(operations)
    try:
        yield
    finally:
        _forms = before
        jax.clear_caches()


@contextlib.contextmanager
def compiling_for(name: str) -> Iterator[None]:
    """Trace programs for another kind of device.

    What JAX traced before is forgotten at both ends, because its cache does not know
    about the choice. A program that is traced here need not run on this machine.

    Args:
        name: one of `PLATFORMS`.

    Raises:
        ValueError: another name.
    """
    global _chosen
    if name not in PLATFORMS:
        raise ValueError(f"name={name!r}: choose one of {', '.join(PLATFORMS)}")
    before = _chosen
    jax.clear_caches()
    _chosen = name
    try:
        yield
    finally:
        _chosen = before
        jax.clear_caches()
