"""Functions of JAX in few kinds of operations, for converters that lack others.

A function is traced to a program, whose operations are done again one by one: calls of
functions are unfolded, unused operations are left out, and numbers that do not depend
on the input are computed. Padding, Fourier transforms and loops from the end become
other operations, and complex numbers pairs of real ones.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax import lax

from advjax.callables import UnusableNetwork
from advjax.jaxprs import body_of, done
from advjax.types import AnyArray

MOST_FOURIER = 4_096
"""Samples of a Fourier transform; its matrices take 8 bytes for each two entries."""
_MOST_FOLDED = 4_096
"""Numbers of a computed constant that has more of them than what it is computed of."""


class _Pair(NamedTuple):
    """Complex numbers by their parts: jax2onnx 0.17 transposes no others."""

    real: Any
    imaginary: Any


def plain(
    function: Callable[[AnyArray], AnyArray], x: jax.ShapeDtypeStruct
) -> Callable[[AnyArray], AnyArray]:
    """The function of one array in few kinds of operations, for arrays of one shape.

    Raises:
        ValueError: the function cannot be traced for such an array.
    """
    program = jax.make_jaxpr(function)(x)
    return lambda x: _evaluate(program, x)[0]


def _evaluate(program: jex.ClosedJaxpr, *given: Any) -> list[Any]:
    """The results of a program, operation by operation."""
    body = program.jaxpr
    known = dict(zip(body.constvars, program.consts, strict=True))
    known |= dict(zip(body.invars, given, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, jex.Literal) else known[atom]

    for operation in _used(body):
        taken = [value(atom) for atom in operation.invars]
        now = jax.ensure_compile_time_eval if _folds(operation, taken) else nullcontext
        with now():
            found = _done(operation, taken)
        known.update(zip(operation.outvars, found, strict=True))
    return [value(atom) for atom in body.outvars]


def _used(body: jex.Jaxpr) -> list[jex.JaxprEqn]:
    """The operations that the results depend on, in order."""
    wanted, found = set(map(id, body.outvars)), []
    for operation in reversed(body.eqns):
        if any(id(each) in wanted for each in operation.outvars):
            wanted |= set(map(id, operation.invars))
            found.append(operation)
    return found[::-1]


def _folds(operation: jex.JaxprEqn, taken: Sequence[Any]) -> bool:
    """True if the results are constants that take about as much as what they are of."""
    taken = jax.tree.leaves(taken)
    if any(isinstance(each, jax.core.Tracer) for each in taken):
        return False
    shapes = [each.aval.shape for each in operation.outvars]
    if not all(isinstance(size, int) for shape in shapes for size in shape):
        return False
    most = max(_MOST_FOLDED, *(2 * np.size(each) for each in taken), 0)
    return sum(int(np.prod(shape)) for shape in shapes) <= most


def _done(operation: jex.JaxprEqn, taken: Sequence[Any]) -> Sequence[Any]:
    name = operation.primitive.name
    if (body := body_of(operation)) is not None:
        return _evaluate(body, *taken)
    if any(isinstance(each, _Pair) for each in taken) and name != "fft":
        return _done_by_parts(operation, taken)
    if name in _OTHERS:
        return _OTHERS[name](operation, *taken)
    return done(operation, taken)


def _done_by_parts(operation: jex.JaxprEqn, taken: Sequence[Any]) -> Sequence[Any]:
    """An operation on complex numbers, of which some are pairs."""
    name = operation.primitive.name
    if name in _OF_PAIRS:
        return [_OF_PAIRS[name](*map(_parts, taken))]
    if name in _LAYOUTS:
        real, imaginary = (
            _done(operation, [_parts(each)[part] for each in taken]) for part in (0, 1)
        )
        return [_Pair(*parts) for parts in zip(real, imaginary, strict=True)]
    joined = [lax.complex(*x) if isinstance(x, _Pair) else x for x in taken]
    return done(operation, joined)


def _parts(x: Any) -> _Pair:
    """Real and imaginary part; what is no complex number is both."""
    if isinstance(x, _Pair) or not jnp.issubdtype(x.dtype, jnp.complexfloating):
        return x if isinstance(x, _Pair) else _Pair(x, x)
    if isinstance(x, jax.core.Tracer):
        return _Pair(lax.real(x), lax.imag(x))
    return _Pair(np.real(x), np.imag(x))


def _times(x: _Pair, y: _Pair) -> _Pair:
    (a, b), (c, d) = x, y
    return _Pair(a * c - b * d, a * d + b * c)


def _over(x: _Pair, y: _Pair) -> _Pair:
    square = y.real * y.real + y.imaginary * y.imaginary
    real, imaginary = _times(x, _Pair(y.real, -y.imaginary))
    return _Pair(real / square, imaginary / square)


_OF_PAIRS: dict[str, Callable[..., Any]] = {
    "abs": lambda x: lax.sqrt(x.real * x.real + x.imaginary * x.imaginary),
    "add": lambda x, y: _Pair(x.real + y.real, x.imaginary + y.imaginary),
    "conj": lambda x: _Pair(x.real, -x.imaginary),
    "div": _over,
    "imag": lambda x: x.imaginary,
    "mul": _times,
    "neg": lambda x: _Pair(-x.real, -x.imaginary),
    "real": lambda x: x.real,
    "sub": lambda x, y: _Pair(x.real - y.real, x.imaginary - y.imaginary),
}
_LAYOUTS = (
    *("broadcast_in_dim", "concatenate", "copy", "dynamic_slice", "gather", "pad"),
    *("reduce_sum", "reshape", "rev", "select_n", "slice", "split", "squeeze"),
    "transpose",
)
"""Operations that do the same to both parts."""


# ---- operations as others ----------------------------------------------------------


def _pad(operation: jex.JaxprEqn, x: Any, fill: Any) -> list[Any]:
    """Padding by joined blocks: that of jax2onnx 0.17 takes no free batch."""
    for axis, widths in enumerate(operation.params["padding_config"]):
        low, high, between = map(int, widths)
        if between and x.shape[axis] > 1:
            x = _spread(x, fill, axis, between)
        if min(low, high) < 0:
            stop = x.shape[axis] + min(high, 0)
            x = lax.slice_in_dim(x, max(-low, 0), stop, axis=axis)
        parts = [_block(x, fill, axis, low), x, _block(x, fill, axis, high)]
        parts = [part for part in parts if part is not None]
        x = lax.concatenate(parts, axis) if len(parts) > 1 else x
    return [x]


def _block(x: Any, fill: Any, axis: int, size: int) -> Any:
    if size <= 0:
        return None
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return lax.broadcast_in_dim(fill, shape, ())


def _spread(x: Any, fill: Any, axis: int, between: int) -> Any:
    """Entries of an axis with so many fills between two."""
    size = x.shape[axis]
    apart = lax.expand_dims(x, [axis + 1])
    apart = lax.concatenate([apart, _block(apart, fill, axis + 1, between)], axis + 1)
    shape = (*x.shape[:axis], size * (1 + between), *x.shape[axis + 1 :])
    return lax.slice_in_dim(
        lax.reshape(apart, shape), 0, shape[axis] - between, 1, axis
    )


def _fft(operation: jex.JaxprEqn, x: Any) -> list[Any]:
    """A Fourier transform along the last axis, as products with sines and cosines."""
    kind, lengths = operation.params["fft_type"].name, operation.params["fft_lengths"]
    if len(lengths) != 1 or lengths[0] > MOST_FOURIER:
        raise UnusableNetwork(
            f"a Fourier transform of {' x '.join(map(str, lengths))} samples has no "
            f"short form in ONNX, which ends at {MOST_FOURIER:,}: stablehlo has one"
        )
    cosines, sines = _waves(kind, lengths[0])
    if kind == "RFFT":
        return [_Pair(_product(x, cosines), -_product(x, sines))]
    real, imaginary = _parts(x)
    if kind == "IRFFT":
        return [_product(real, cosines) - _product(imaginary, sines)]
    sign = -1 if kind == "FFT" else 1
    return [
        _Pair(
            _product(real, cosines) - sign * _product(imaginary, sines),
            _product(imaginary, cosines) + sign * _product(real, sines),
        )
    ]


@functools.cache
def _waves(kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines [inputs, outputs] of a transform, in float32."""
    inputs, outputs = np.arange(size), np.arange(size)
    scale = np.float64(1.0)
    if kind == "RFFT":
        outputs = np.arange(size // 2 + 1)
    elif kind == "IRFFT":
        inputs = np.arange(size // 2 + 1)
        # All but the first and, of an even size, the last stand for two each.
        scale = np.where((inputs == 0) | (2 * inputs == size), 1, 2)[:, None] / size
    elif kind == "IFFT":
        scale = np.float64(1 / size)
    # Products modulo the size keep the angles exact.
    angles = 2 * np.pi / size * (inputs[:, None] * outputs[None, :] % size)
    return np.float32(scale * np.cos(angles)), np.float32(scale * np.sin(angles))


def _product(x: Any, matrix: np.ndarray) -> Any:
    dims = (((x.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(x, matrix, dims, precision=lax.Precision.HIGHEST)


def _scan(operation: jex.JaxprEqn, *taken: Any) -> Sequence[Any]:
    """A loop from the end, as one from the start over turned arrays."""
    params = operation.params
    if not params["reverse"]:
        return done(operation, taken)
    kept = params["num_consts"] + params["num_carry"]
    turned = [lax.rev(each, [0]) for each in taken[kept:]]
    forward = operation.replace(params={**params, "reverse": False})
    found = done(forward, [*taken[:kept], *turned])
    carried = params["num_carry"]
    return [*found[:carried], *(lax.rev(each, [0]) for each in found[carried:])]


def _convert(operation: jex.JaxprEqn, x: Any) -> Sequence[Any]:
    wanted = operation.params["new_dtype"]
    if not jnp.issubdtype(wanted, jnp.complexfloating):
        return done(operation, [x])
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return [_parts(x)]
    real = lax.convert_element_type(x, np.float32)
    return [_Pair(real, lax.full_like(real, 0))]


_OTHERS: dict[str, Callable[..., Sequence[Any]]] = {
    "convert_element_type": _convert,
    "fft": _fft,
    "complex": lambda operation, *parts: [_Pair(*parts)],
    "optimization_barrier": lambda operation, *taken: list(taken),
    "pad": _pad,
    "scan": _scan,
    "stop_gradient": lambda operation, x: [x],
}
"""By the operation; each is given it and the arrays that it takes."""
