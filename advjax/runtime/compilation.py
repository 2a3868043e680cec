"""Compiler options that help each backend, and the compilation cache on disk."""

import contextlib
import functools
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
from jax.custom_batching import sequential_vmap
from jax.sharding import Mesh

from advjax.runtime import parallel, targets
from advjax.runtime.precision import custom_vjp

_CPU_OPTIONS = {
    # jaxlib sends CPU convolutions to YNNPACK, which measured 1.5 to 1.8 times slower
    # than the Eigen path on AVX2. This keeps YNNPACK for matrix products and for sums;
    # without it for sums, the key points of `surf_svm` take half as long again. Two
    # products in a row, as one operation of YNNPACK, measured half as fast as two.
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    ),
}


MOST_SMALL = 8 * 2**20
"""Weights of a small network: 32 MiB in float32."""


def leave_xla_alone() -> None:
    """Make `compiler_options` empty from now on."""
    _CPU_OPTIONS.clear()


def leaves_xla_alone() -> bool:
    """Tell whether `leave_xla_alone` was called."""
    return not _CPU_OPTIONS


def is_small(arrays: Iterable[Any]) -> bool:
    """Tell whether a network's weights are few enough for a CPU's cache."""
    return sum(math.prod(each.shape) for each in arrays) <= MOST_SMALL


def suits_ynnpack(arrays: Iterable[Any]) -> bool:
    """Tell whether YNNPACK convolves a network of such weights faster than Eigen.

    With AVX-512 it does so on small networks, by 14 to 20 % on ResCNN of width 16, but
    in a loop it uses one core. So the process has to have one, or to be in
    `as_on_one_core`.
    """
    alone = _as_on_one_core or parallel.num_cores() == 1
    return alone and targets.processor() == "avx512" and is_small(arrays)


@contextlib.contextmanager
def as_on_one_core() -> Iterator[None]:
    """Compile what a process of one core would, though this one may have more.

    Votes that some processes of one core count, and this one, are then those of the
    same programs.
    """
    global _as_on_one_core
    before, _as_on_one_core = _as_on_one_core, True
    try:
        yield
    finally:
        _as_on_one_core = before


_as_on_one_core = False


def compiler_options(
    mesh: Mesh | None = None, *, ynnpack: bool = False
) -> dict[str, str]:
    """Compiler options that help the default backend, each tested before it is used.

    The options are experimental in XLA: one that this jaxlib does not know is left out,
    so the result may be empty. Pass it as `jax.jit(..., compiler_options=...)`.

    A program over several CPU devices leaves convolutions to YNNPACK. In jaxlib 0.10.2
    the Eigen path computes some of them wrongly there: in a loop body with ResCNN of
    width 8, from the thirteenth step on, the first two rows of a batch of 20. YNNPACK
    computes them correctly, and two devices measured as fast with it.

    Args:
        mesh: the devices that share the program; None for one.
        ynnpack: leave convolutions to YNNPACK on one device, too.
    """
    if not targets.on_cpu():
        return {}
    ynnpack = ynnpack or (mesh is not None and mesh.size > 1)
    more = ",LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION" if ynnpack else ""
    found = {name: value + more for name, value in _CPU_OPTIONS.items()}
    return {name: value for name, value in found.items() if _works(name, value)}


@functools.cache
def _works(name: str, value: str) -> bool:
    try:
        probe = jax.jit(lambda x: x + 1, compiler_options={name: value})
        probe.lower(0.0).compile()
    except Exception:  # noqa: BLE001  XLA has no common error type for this
        return False
    return True


def use_disk_cache(folder: str | pathlib.Path) -> None:
    """Keep compiled programs in `folder`, so that a second start compiles nothing."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make the `vmap` of a function of one example a loop on a CPU.

    The small tables of one example stay in the cache, those of all examples side by
    side do not. Where every entry is used a few times, a loop is two to four times
    faster. Only reverse-mode differentiation is defined; it computes the function once
    more.

    Args:
        function: of arrays of floats, to arrays of floats.
    """

    def backward(arguments, cotangents):
        return jax.vjp(function, *arguments)[1](cotangents)

    def looped(body):
        # Asked at the first trace: an import must not start the backend.
        def run(*arguments):
            return (sequential_vmap(body) if targets.on_cpu() else body)(*arguments)

        return run

    forward = looped(function)
    return custom_vjp(
        forward, lambda *arguments: (forward(*arguments), arguments), looped(backward)
    )
