"""Compiler options that help each backend, and the compilation cache on disk."""

import functools
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.custom_batching import sequential_vmap
from jax.sharding import Mesh

from advjax.runtime import targets
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


def compiler_options(
    mesh: Mesh | None = None, *, small: bool = False
) -> dict[str, str]:
    """Compiler options that help the default backend, each tested before it is used.

    The options are experimental in XLA: one that this jaxlib does not know is left out,
    so the result may be empty. Pass it as `jax.jit(..., compiler_options=...)`.

    A program over several CPU devices leaves convolutions to YNNPACK. In jaxlib 0.10.2
    the Eigen path computes some of them wrongly there: in a loop body with ResCNN of
    width 8, from the thirteenth step on, the first two rows of a batch of 20. YNNPACK
    computes them correctly, and two devices measured as fast with it. With AVX-512 it
    is faster on small networks, too: by 14 to 20 % on ResCNN of width 16.

    Args:
        mesh: the devices that share the program; None for one.
        small: the program evaluates a network for which `is_small` is true.
    """
    if not targets.on_cpu():
        return {}
    shared = mesh is not None and mesh.size > 1
    in_library = shared or (small and targets.processor() == "avx512")
    more = ",LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION" if in_library else ""
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
