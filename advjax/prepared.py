"""Functions whose weights are transformed once, before the loop that calls them.

A network transforms its weights wherever it is called: it folds batch norm, sums the
taps of fast convolutions and rounds kernels to bfloat16. XLA takes that out of a loop,
but not out of the program around it, which counts votes again and again. `prepared`
divides the operations of a function into those that depend on its arrays alone, which
are done at once, and the rest.
"""

import functools
import math
import weakref
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
from jax.sharding import Mesh

from advjax import jaxprs
from advjax.callables import Unchanging, apply, split
from advjax.runtime import targets
from advjax.runtime.compilation import compiler_options
from advjax.runtime.parallel import replicate
from advjax.types import AnyArray, AnyCallable

_MOST_TIMES, _MOST_BYTES = 8, 4096
"""A result that needs more bytes, and more times those of the arrays that it depends
on, is computed again in each call. Transformed kernels need four times as many."""


def prepared(
    function: AnyCallable, x: AnyArray | jax.ShapeDtypeStruct, mesh: Mesh | None = None
) -> AnyCallable:
    """The function of one example, with what depends on its arrays alone computed.

    Its values differ from the function's by rounding at most. It lacks the function's
    own rules of differentiation. The result for the same arrays is kept, as long as
    they live and no other is asked for.

    Args:
        function: as for `callables.split`. Without arrays it is returned as it is.
        x: an example, for its shape and type.
        mesh: devices that get a copy of the results each; None for one.
    """
    arrays, static = split(function)
    is_prepared = isinstance(getattr(function, "func", None), _Rest)
    if not arrays or is_prepared or any(isinstance(a, jax.core.Tracer) for a in arrays):
        return function
    kinds = tuple((each.shape, each.dtype) for each in (*arrays, x))
    choices = targets.chosen(), targets.platform(), jax.config.jax_enable_x64
    key = static, kinds, mesh, choices
    if (found := _kept.find(key, arrays)) is not None:
        return found
    compute, rest = _divided(*key)
    if any(isinstance(each, jax.ShapeDtypeStruct) for each in arrays):
        return jax.tree_util.Partial(rest, jax.eval_shape(compute, arrays))
    placed = arrays if mesh is None else jax.device_put(arrays, replicate(mesh))
    found = jax.tree_util.Partial(rest, compute(placed))
    _kept.keep(key, arrays, found)
    return found


class _Kept:
    """The last prepared function, dropped with the arrays that it was computed from."""

    def __init__(self) -> None:
        self.clear()

    def clear(self, _: Any = None) -> None:
        """Drop it."""
        self._key, self._arrays, self._function = None, (), None

    def find(self, key: Hashable, arrays: Sequence[Any]) -> AnyCallable | None:
        """The function for the same key and the same arrays, if it is kept."""
        if key != self._key:
            return None
        same = zip(self._arrays, arrays, strict=True)
        return self._function if all(ref() is each for ref, each in same) else None

    def keep(self, key: Hashable, arrays: Sequence[Any], function: AnyCallable) -> None:
        """Keep the function in place of another one."""
        self.clear()
        # Others than JAX's own could change.
        if all(isinstance(each, jax.Array) for each in arrays):
            refs = [weakref.ref(each, self.clear) for each in arrays]
            self._key, self._arrays, self._function = key, refs, function


_kept = _Kept()


class _Rest(Unchanging):
    """The operations that depend on the example, as a function of it and of arrays."""

    def __init__(self, program: "_Program") -> None:
        self._program = program

    def __call__(self, arrays: Sequence[Any], x: Any) -> Any:
        (value,) = self._program.run([*arrays, x])
        return value


@functools.lru_cache(maxsize=8)
def _divided(
    static: Hashable,
    kinds: tuple[tuple[tuple[int, ...], Any], ...],
    mesh: Mesh | None,
    choices: Hashable,
) -> tuple[Callable[..., Any], _Rest]:
    """The compiled part of a function that depends on its arrays alone, and the rest.

    Args:
        static: of the function, as `split` returns it.
        kinds: shapes and types of its arrays and of the example.
        mesh: devices that get the results.
        choices: tracing depends on them.
    """
    del choices
    *arrays, x = (jax.ShapeDtypeStruct(*kind) for kind in kinds)
    jaxpr = jax.make_jaxpr(functools.partial(apply, static))(arrays, x)
    first, rest = _divide(jaxpr)
    options = {"compiler_options": compiler_options(mesh)}
    if mesh is not None:
        options["out_shardings"] = replicate(mesh)
    return jax.jit(first.run, **options), _Rest(rest)


class _Step(NamedTuple):
    """An operation, and the numbers of the values that it takes and gives."""

    operation: jex.JaxprEqn
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class _Program(NamedTuple):
    """Steps in order, from numbered values to others."""

    inputs: tuple[int, ...]
    steps: tuple[_Step, ...]
    outputs: tuple[int, ...]
    constants: dict[int, Any]

    def run(self, arguments: Sequence[Any]) -> list[Any]:
        """The outputs for the inputs; under a trace, the steps become part of it."""
        values = self.constants | dict(zip(self.inputs, arguments, strict=True))
        for operation, inputs, outputs in self.steps:
            found = jaxprs.done(operation, [values[number] for number in inputs])
            values.update(zip(outputs, found, strict=True))
        return [values[number] for number in self.outputs]


def _divide(jaxpr: jex.ClosedJaxpr) -> tuple[_Program, _Program]:
    """The part that depends on all inputs but the last, and the rest of a program.

    The first inputs of the rest are the outputs of the first part.
    """
    flat = _Flat(jaxpr)
    stored, outputs = flat.stored(), flat.outputs
    rest = _needed(outputs, flat.steps, stored)
    taken = {number for step in rest for number in step.inputs} | set(outputs)
    residuals = sorted(taken & stored)
    silent = [step for step in flat.steps if not step.operation.effects]
    first = _needed(residuals, silent, flat.inputs)
    x = len(flat.inputs)
    return (
        _Program(tuple(flat.inputs), first, tuple(residuals), flat.constants),
        _Program((*residuals, x), rest, tuple(outputs), flat.constants),
    )


def _needed(
    wanted: Iterable[int], steps: Sequence[_Step], given: Container[int]
) -> tuple[_Step, ...]:
    """The steps from given values to those wanted, and all with effects, in order."""
    missing, found = {each for each in wanted if each not in given}, []
    for step in reversed(steps):
        if step.operation.effects or not missing.isdisjoint(step.outputs):
            missing.update(each for each in step.inputs if each not in given)
            found.append(step)
    return tuple(reversed(found))


def _num_bytes(aval: Any) -> int:
    return math.prod(aval.shape) * aval.dtype.itemsize


class _Flat:
    """The steps of a program; calls on its arrays are replaced by the steps of these.

    Attributes:
        inputs: numbers of the inputs but the last.
        avals: their shapes and types.
        outputs: numbers of the outputs.
        steps: in order.
        constants: values that depend on no input, by number.
        of_arrays: numbers of the values that depend on inputs, but not on the last.
        of_example: numbers of the values that depend on the last input.
    """

    def __init__(self, jaxpr: jex.ClosedJaxpr) -> None:
        *self.avals, _ = jaxpr.in_avals
        self.inputs = range(len(self.avals))
        self.steps: list[_Step] = []
        self.constants: dict[int, Any] = {}
        self.of_arrays = set(self.inputs)
        self.of_example = {len(self.avals)}
        self._count = len(self.avals) + 1
        self.outputs = self._add_all(jaxpr, range(self._count))

    def _add_all(self, jaxpr: jex.ClosedJaxpr, inputs: Iterable[int]) -> list[int]:
        numbers = dict(zip(jaxpr.jaxpr.invars, inputs, strict=True))
        for var, value in zip(jaxpr.jaxpr.constvars, jaxpr.consts, strict=True):
            numbers[var] = self._constant(value)

        def number(atom: Any) -> int:
            if isinstance(atom, jex.Literal):
                return self._constant(atom.val)
            return numbers[atom]

        for operation in jaxpr.jaxpr.eqns:
            taken = tuple(map(number, operation.invars))
            body = jaxprs.body_of(operation)
            if body is not None and not self.of_arrays.isdisjoint(taken):
                given = self._add_all(body, taken)
            else:
                given = self._add(operation, taken)
            numbers.update(zip(operation.outvars, given, strict=True))
        return list(map(number, jaxpr.jaxpr.outvars))

    def stored(self) -> set[int]:
        """Values of `of_arrays` to compute once; the others are too large for it."""
        found = set(self.inputs)
        bytes_of = dict(zip(self.inputs, map(_num_bytes, self.avals), strict=True))
        for operation, taken, given in self.steps:
            # Of what is not stored, the bytes of what it depends on.
            source = sum(bytes_of.get(number, 0) for number in set(taken))
            for number, var in zip(given, operation.outvars, strict=True):
                if number not in self.of_arrays:
                    continue
                size = _num_bytes(var.aval)
                bytes_of[number] = source
                if size <= max(_MOST_BYTES, _MOST_TIMES * source):
                    found.add(number)
                    bytes_of[number] = size
        return found

    def _add(self, operation: jex.JaxprEqn, taken: tuple[int, ...]) -> list[int]:
        given = [self._new() for _ in operation.outvars]
        self.steps.append(_Step(operation, taken, tuple(given)))
        if operation.effects or not self.of_example.isdisjoint(taken):
            self.of_example.update(given)
        elif not self.of_arrays.isdisjoint(taken):
            self.of_arrays.update(given)
        return given

    def _constant(self, value: Any) -> int:
        number = self._new()
        self.constants[number] = value
        return number

    def _new(self) -> int:
        self._count += 1
        return self._count - 1
