"""The kind of device that programs are compiled for.

A program's form may depend on it: a form that is fast on a CPU is often slow elsewhere.
Every such choice asks `platform`, so that a program for an accelerator can be compiled,
and read, on a machine that has none.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax

from advjax.runtime import processors

PLATFORMS = ("cpu", "gpu", "tpu")
"""Names of the kinds of device, as in `jax.default_backend`."""

STOCK_FORMS: dict[str, frozenset[str]] = {
    "cpu": frozenset(),
    "gpu": frozenset({"input_gradient", "sum"}),
    "tpu": frozenset({"clip", "input_gradient", "pool", "sum"}),
}
"""Operations of layers that take XLA's own form, by kind of device.

In a training step of ResCNN compiled for an H100, a clamp in the place of two selects
moves more bytes and XLA's input gradient fewer; sums are the same. XLA's pooling was
compared only together with the clamp, which moved more. Compiled for a TPU v5e, steps
of ResCNN and of ResNet-18 and rounds of PGD move the fewest bytes with all of XLA's.
"""


PROCESSORS = ("avx2", "avx512")
"""Kinds of CPU whose fastest ways were measured."""


class Choice(NamedTuple):
    """Kinds of device and CPU, and XLA's own forms; None for the default."""

    platform: str | None = None
    processor: str | None = None
    forms: frozenset[str] | None = None


_chosen = Choice()


def chosen() -> Choice:
    """The choices in force, for caches of what was traced under them."""
    return _chosen


def platform() -> str:
    """The kind of device to compile for: the default backend's, or a chosen one."""
    # The backend is queried here, not at import: an import must not start it.
    return _chosen.platform or jax.default_backend()


def on_cpu() -> bool:
    """Tell whether programs are compiled for a CPU."""
    return platform() == "cpu"


def processor() -> str:
    """The kind of CPU to compile for, one of `PROCESSORS`: this machine's, or a chosen.

    A CPU of another kind counts as the one with the shorter vectors.
    """
    wide = processors.here().instructions in ("AMX", "AVX-512")
    return _chosen.processor or ("avx512" if wide else "avx2")


def takes_stock(operation: str) -> bool:
    """Tell whether an operation of `STOCK_FORMS` takes XLA's own form."""
    forms = _chosen.forms
    return operation in (STOCK_FORMS[platform()] if forms is None else forms)


def choosing_forms(
    operations: Iterable[str],
) -> contextlib.AbstractContextManager[None]:
    """Trace programs in which these operations, and no others, take XLA's own form.

    What JAX traced before is forgotten, as by `compiling_for`.
    """
    return _choosing(forms=frozenset(operations))


def compiling_for(name: str) -> contextlib.AbstractContextManager[None]:
    """Trace programs for another kind of device.

    What JAX traced before is forgotten at both ends, because its cache does not know
    about the choice. A program that is traced here need not run on this machine.

    Args:
        name: one of `PLATFORMS`.

    Raises:
        ValueError: another name.
    """
    return _choosing(platform=_known(name, PLATFORMS))


def choosing_processor(name: str) -> contextlib.AbstractContextManager[None]:
    """Trace programs in the ways that are fastest on another kind of CPU.

    Every CPU runs them; results differ by rounding. What JAX traced before is
    forgotten, as by `compiling_for`.

    Args:
        name: one of `PROCESSORS`.

    Raises:
        ValueError: another name.
    """
    return _choosing(processor=_known(name, PROCESSORS))


def choosing(choice: Choice) -> contextlib.AbstractContextManager[None]:
    """Trace programs as another process does, by what it has `chosen`."""
    return _choosing(**choice._asdict())


def _known(name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise ValueError(f"name={name!r}: choose one of {', '.join(names)}")
    return name


@contextlib.contextmanager
def _choosing(**changes: Any) -> Iterator[None]:
    global _chosen
    before = _chosen
    jax.clear_caches()
    _chosen = before._replace(**changes)
    try:
        yield
    finally:
        _chosen = before
        jax.clear_caches()
