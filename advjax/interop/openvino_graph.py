"""Programs of JAX as graphs of OpenVINO, operation by operation.

OpenVINO's own front end for JAX (2026.4) lacks `min`, `abs`, `log` and `split`, and
misreads products and selections whose arguments differ in rank. This table holds what
networks are made of, in the public operations of `openvino.opset13`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.extend.core as jex
import numpy as np

from advjax.callables import UnusableNetwork
from advjax.interop.openvino_package import openvino
from advjax.interop.openvino_package import opset13 as ov
from advjax.jaxprs import body_of

MOST_STEPS = 512
"""Steps of a loop, each of which is translated by itself."""


def graph_of(program: jex.ClosedJaxpr) -> openvino.Model:
    """The graph of a program, from one array to one array.

    Args:
        program: as of `plain_programs.plain`, with sizes of fixed numbers.

    Raises:
        UnusableNetwork: an operation that has no translation.
    """
    (aval,) = program.in_avals
    given = ov.parameter(list(aval.shape), dtype=aval.dtype)
    return openvino.Model(_results(program, [given]), [given], "network")


def _results(program: jex.ClosedJaxpr, given: Sequence[Any]) -> list[Any]:
    """The nodes of a program's results, from those of its inputs."""
    body = program.jaxpr
    constants = [ov.constant(np.asarray(value)) for value in program.consts]
    known = dict(zip(body.constvars, constants, strict=True))
    known.update(zip(body.invars, given, strict=True))

    def node(atom: Any) -> Any:
        if isinstance(atom, jex.Literal):
            return ov.constant(np.asarray(atom.val, atom.aval.dtype))
        return known[atom]

    for operation in body.eqns:
        found = _translated(operation, [node(atom) for atom in operation.invars])
        for var, value in zip(operation.outvars, found, strict=True):
            if tuple(value.shape) != var.aval.shape:
                _refuse(operation, f"whose result has another shape: {value}")
            known[var] = value
    return [node(atom) for atom in body.outvars]


def _translated(operation: jex.JaxprEqn, taken: Sequence[Any]) -> Sequence[Any]:
    name = operation.primitive.name
    if name in _SAME:
        return [_SAME[name](*taken)]
    if (body := body_of(operation)) is not None:
        return _results(body, taken)
    if name not in _OTHERS:
        raise UnusableNetwork(f"it has the operation {name}, which has no translation")
    found = _OTHERS[name](operation, *taken)
    return found if isinstance(found, list) else [found]


def _refuse(operation: jex.JaxprEqn, reason: str) -> None:
    raise UnusableNetwork(f"it has the operation {operation.primitive.name} {reason}")


def _reshaped(x: Any, shape: Sequence[int]) -> Any:
    return ov.reshape(x, np.asarray(shape, np.int64), special_zero=False)


def _transposed(x: Any, order: Sequence[int]) -> Any:
    if list(order) == list(range(len(order))):
        return x
    return ov.transpose(x, np.asarray(order, np.int64))


def _shape_of(operation: jex.JaxprEqn) -> tuple[int, ...]:
    return operation.outvars[0].aval.shape


# ---- operations of a layout --------------------------------------------------------


def _broadcast(operation: jex.JaxprEqn, x: Any) -> Any:
    shape, places = _shape_of(operation), operation.params["broadcast_dimensions"]
    given = operation.invars[0].aval.shape
    wide = [1] * len(shape)
    for axis, size in zip(places, given, strict=True):
        wide[axis] = size
    x = _reshaped(x, wide)
    return x if tuple(wide) == shape else ov.broadcast(x, np.asarray(shape, np.int64))


def _slice(operation: jex.JaxprEqn, x: Any) -> Any:
    params = operation.params
    starts, stops = params["start_indices"], params["limit_indices"]
    steps = params["strides"] or (1,) * len(starts)
    return ov.slice(x, *(np.asarray(each, np.int64) for each in (starts, stops, steps)))


def _split(operation: jex.JaxprEqn, x: Any) -> list[Any]:
    sizes = np.asarray(operation.params["sizes"], np.int64)
    return ov.variadic_split(x, operation.params["axis"], sizes).outputs()


def _select(operation: jex.JaxprEqn, which: Any, *cases: Any) -> Any:
    if len(cases) != 2 or operation.invars[0].aval.dtype != bool:
        _refuse(operation, "of more than two cases")
    return ov.select(which, cases[1], cases[0])


def _stack(operation: jex.JaxprEqn, *parts: Any) -> Any:
    axis, shape = operation.params["axis"], list(_shape_of(operation))
    shape[axis] = 1
    return ov.concat([_reshaped(part, shape) for part in parts], axis)


def _rev(operation: jex.JaxprEqn, x: Any) -> Any:
    axes = np.asarray(operation.params["dimensions"], np.int64)
    back = np.full_like(axes, -1)
    return ov.slice(x, back, np.full_like(axes, np.iinfo(np.int64).min), back, axes)


def _iota(operation: jex.JaxprEqn) -> Any:
    params, shape = operation.params, _shape_of(operation)
    axis = params["dimension"]
    numbers = np.arange(shape[axis], dtype=params["dtype"])
    wide = np.expand_dims(numbers, [a for a in range(len(shape)) if a != axis])
    return ov.constant(np.broadcast_to(wide, shape).copy())


def _gather(operation: jex.JaxprEqn, x: Any, indices: Any) -> Any:
    """Entries of one axis by indices that are known and in range."""
    numbers = operation.params["dimension_numbers"]
    (axis, *more), size = numbers.start_index_map, list(operation.invars[0].aval.shape)
    most, size[axis] = size[axis], 1
    whole = tuple(size) == tuple(operation.params["slice_sizes"]) and not more
    known = indices.get_type_name() == "Constant"
    places = indices.data[..., 0] if known else np.full(1, -1)
    collapsed = tuple(numbers.collapsed_slice_dims) == (axis,)
    if not (whole and collapsed) or places.min() < 0 or places.max() >= most:
        _refuse(operation, "other than by known indices of one axis")
    found = ov.gather(x, places, np.int64(axis))
    # OpenVINO puts the axes of the indices in the place of the axis.
    inner = range(axis, axis + places.ndim)
    axes = range(len(_shape_of(operation)))
    sources = iter(inner), (each for each in axes if each not in inner)
    order = [next(sources[each in numbers.offset_dims]) for each in axes]
    return _transposed(found, order)


def _convert(operation: jex.JaxprEqn, x: Any) -> Any:
    return ov.convert(x, openvino.Type(operation.params["new_dtype"]))


def _reduce(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def done(operation: jex.JaxprEqn, x: Any) -> Any:
        axes = np.asarray(operation.params["axes"], np.int64)
        return reduce(x, axes, keep_dims=False)

    return done


def _scan(operation: jex.JaxprEqn, *taken: Any) -> list[Any]:
    """A loop as its steps one after the other."""
    params = operation.params
    length, fixed, carried = (params[k] for k in ("length", "num_consts", "num_carry"))
    if length > MOST_STEPS:
        _refuse(operation, f"of {length} steps, and {MOST_STEPS} is the most")
    kept, carry = list(taken[:fixed]), list(taken[fixed : fixed + carried])
    rows: list[Any] = [None] * length
    for step in range(length)[:: -1 if params["reverse"] else 1]:
        now = [
            ov.gather(x, np.int64(step), np.int64(0)) for x in taken[fixed + carried :]
        ]
        found = _results(params["jaxpr"], [*kept, *carry, *now])
        carry = found[:carried]
        rows[step] = [ov.unsqueeze(each, np.int64(0)) for each in found[carried:]]
    return [*carry, *(ov.concat(list(each), 0) for each in zip(*rows, strict=True))]


# ---- products ----------------------------------------------------------------------


def _product(operation: jex.JaxprEqn, x: Any, y: Any) -> Any:
    """Matrices [*shared, rows, summed] by [*shared, summed, columns]."""
    summed, shared = operation.params["dimension_numbers"]
    sides = []
    for number, value in enumerate((x, y)):
        shape = operation.invars[number].aval.shape
        over, along = list(summed[number]), list(shared[number])
        free = [a for a in range(len(shape)) if a not in (*over, *along)]
        order = [*along, *free, *over] if number == 0 else [*along, *over, *free]
        rows, depth = (math.prod(shape[axis] for axis in some) for some in (free, over))
        ends = (rows, depth) if number == 0 else (depth, rows)
        value = _transposed(value, order)
        sides.append(_reshaped(value, [*(shape[axis] for axis in along), *ends]))
    return _reshaped(ov.matmul(*sides, False, False), _shape_of(operation))


def _convolution(operation: jex.JaxprEqn, x: Any, kernel: Any) -> Any:
    params = operation.params
    if set(params["lhs_dilation"]) - {1} or params["batch_group_count"] != 1:
        _refuse(operation, "of a dilated input")
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    x = _transposed(x, numbers.lhs_spec)
    kernel = _transposed(kernel, numbers.rhs_spec)
    convolve = ov.convolution
    if groups != 1:
        shape = [operation.invars[1].aval.shape[axis] for axis in numbers.rhs_spec]
        kernel = _reshaped(kernel, [groups, shape[0] // groups, *shape[1:]])
        convolve = ov.group_convolution
    begins, ends = zip(*params["padding"], strict=True)
    if min(*begins, *ends) < 0:
        _refuse(operation, "of a cropped input")
    result = convolve(
        x, kernel, list(params["window_strides"]), list(begins), list(ends),
        list(params["rhs_dilation"]),
    )  # fmt: skip
    return _transposed(result, np.argsort(numbers.out_spec).tolist())


def _pool(operation: jex.JaxprEqn, x: Any, *, sums: bool) -> Any:
    """The greatest entry or the sum of each window, as [first, other axes, places]."""
    params, shape = operation.params, operation.invars[0].aval.shape
    window, strides = params["window_dimensions"], params["window_strides"]
    pads, dilations = params["padding"], params["window_dilation"]
    moves = [
        axis for axis, size in enumerate(window) if (size, *pads[axis]) != (1, 0, 0)
        or strides[axis] != 1
    ]  # fmt: skip
    dilated = set(params["base_dilation"]) - {1} or (sums and set(dilations) - {1})
    if dilated or not 1 <= len(moves) <= 3:
        _refuse(operation, f"over the axes {moves}")
    others = [axis for axis in range(len(shape)) if axis not in moves]
    order = [*others, *moves]
    places = [shape[axis] for axis in moves]
    first = shape[others[0]] if others else 1
    rest = math.prod(shape[axis] for axis in others[1:])
    flat = _reshaped(_transposed(x, order), [first, rest, *places])
    sizes, steps = ([each[axis] for axis in moves] for each in (window, strides))
    begins, ends = ([pads[axis][side] for axis in moves] for side in (0, 1))
    if sums:
        mean = ov.avg_pool(flat, steps, begins, ends, sizes, exclude_pad=False)
        found = ov.multiply(mean, np.float32(math.prod(sizes)))
    else:
        spread = [dilations[axis] for axis in moves]
        found = ov.max_pool(flat, steps, spread, begins, ends, sizes).output(0)
    out = _shape_of(operation)
    return _transposed(
        _reshaped(found, [out[a] for a in order]), np.argsort(order).tolist()
    )


def _power(operation: jex.JaxprEqn, x: Any) -> Any:
    return ov.power(
        x, np.asarray(operation.params["y"], operation.invars[0].aval.dtype)
    )


_SAME: dict[str, Callable[..., Any]] = {
    "abs": ov.abs,
    "add": ov.add,
    "add_any": ov.add,
    "and": ov.logical_and,
    "clamp": lambda low, x, high: ov.minimum(ov.maximum(x, low), high),
    "copy": lambda x: x,
    "cos": ov.cos,
    "div": ov.divide,
    "eq": ov.equal,
    "erf": ov.erf,
    "exp": ov.exp,
    "floor": ov.floor,
    "ge": ov.greater_equal,
    "gt": ov.greater,
    "is_finite": ov.is_finite,
    "le": ov.less_equal,
    "log": ov.log,
    "log1p": lambda x: ov.log(ov.add(x, np.float32(1))),
    "logistic": ov.sigmoid,
    "lt": ov.less,
    "max": ov.maximum,
    "min": ov.minimum,
    "mul": ov.multiply,
    "ne": ov.not_equal,
    "neg": ov.negative,
    "not": ov.logical_not,
    "or": ov.logical_or,
    "pow": ov.power,
    "rsqrt": lambda x: ov.divide(np.float32(1), ov.sqrt(x)),
    "sign": ov.sign,
    "sin": ov.sin,
    "sqrt": ov.sqrt,
    "square": lambda x: ov.multiply(x, x),
    "sub": ov.subtract,
    "tanh": ov.tanh,
}
"""Operations of the arrays alone, by the primitive of JAX."""

_OTHERS: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda operation, *x: ov.concat([*x], operation.params["dimension"]),
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "dot_general": _product,
    "gather": _gather,
    "integer_pow": _power,
    "iota": _iota,
    "reduce_max": _reduce(ov.reduce_max),
    "reduce_min": _reduce(ov.reduce_min),
    "reduce_sum": _reduce(ov.reduce_sum),
    "reduce_window_max": functools.partial(_pool, sums=False),
    "reduce_window_sum": functools.partial(_pool, sums=True),
    "reshape": lambda operation, x: _reshaped(x, _shape_of(operation)),
    "rev": _rev,
    "scan": _scan,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "stack": _stack,
    "squeeze": lambda operation, x: _reshaped(x, _shape_of(operation)),
    "transpose": lambda operation, x: _transposed(x, operation.params["permutation"]),
}
"""Operations with settings; each is given the operation and its arrays."""
