"""Checks of a caller's arguments: a logits function, examples, labels, a key.

They run on the host, once a call, before anything is compiled. Of a traced value, only
shape and type are checked.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from advjax.callables import (
    UnusableNetwork,
    apply,
    apply_unchanged,
    join,
    split,
)


def num_classes(logits_fn: Any, x: Any) -> int:
    """Number of classes of a function from one example to logits.

    The function is traced at the first call for its kind and the example's shape.

    Args:
        logits_fn: any callable from one example to one row of logits.
        x: one example, or its `jax.ShapeDtypeStruct`.

    Raises:
        ValueError: it is not callable, not written in JAX, fails on such an example,
            returns anything but one row of floating logits, or changes when called.
    """
    check_callable(logits_fn)
    return num_classes_of(*split(logits_fn), x)


def check_callable(logits_fn: Any) -> None:
    """Refuse a logits function that is not callable.

    Raises:
        ValueError: it cannot be called.
    """
    if not callable(logits_fn):
        raise ValueError(
            f"logits_fn is of type {type(logits_fn).__name__}, which cannot be called: "
            "give a function from one example to one row of logits."
        )


def num_classes_of(arrays: Any, static: Any, x: Any) -> int:
    """`num_classes` of a function that `split` has partitioned.

    Raises:
        ValueError: as `num_classes`.
    """
    if inside_a_trace() or any(is_traced(leaf) for leaf in (*arrays, x)):
        return _row(functools.partial(_plainly, static), arrays, static, x)
    kinds = tuple(
        (leaf.shape, str(leaf.dtype), getattr(leaf, "weak_type", False))
        for leaf in (*arrays, x)
    )
    key = (static, kinds, jax.config.jax_enable_x64)
    if key not in _known:
        found = _row(functools.partial(apply, static), arrays, static, x)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = found
    return _known[key]


_known: dict[Any, int] = {}
_MOST_KNOWN = 64


def is_traced(value: Any) -> bool:
    """True for a tracer, whose value is known only when its program runs."""
    return isinstance(value, jax.core.Tracer)


def inside_a_trace() -> bool:
    """True while JAX traces a program."""
    return is_traced(jnp.zeros(()))


def _plainly(static, arrays, x):
    """`apply` without its cache, which must not keep tracers of an unfinished trace."""
    return apply_unchanged(join(arrays, static), x)


def _row(called, arrays, static, x) -> int:
    try:
        row = jax.eval_shape(called, arrays, x)
    except (MemoryError, jax.errors.JaxRuntimeError, UnusableNetwork):
        raise
    except Exception as error:
        raise ValueError(_explained(error, join(arrays, static), x)) from error
    if complaint := _complaint(row):
        raise ValueError(
            "the classifier must turn one example, without a batch axis, into one row "
            f"of floating logits [classes]; from shape {x.shape} it returned "
            f"{_described(row)}{complaint}."
        )
    return row.shape[0]


def _complaint(row: Any) -> str | None:
    """Advice about a value that is not one row of logits; None if it is one."""
    if isinstance(row, tuple | list | dict):
        return ": return the logits alone"
    if not hasattr(row, "shape"):
        return ": return the logits"
    if not jnp.issubdtype(row.dtype, jnp.floating):
        return ": return the scores before the class is chosen"
    if len(row.shape) == 0:
        return ": return one score for each class"
    if len(row.shape) > 1:
        return (
            ": give one example at a time, and take the batch axis away, as in "
            "lambda x: net(x[None])[0]"
        )
    return ": there is no class" if row.shape[0] == 0 else None


def _described(row: Any) -> str:
    if isinstance(row, tuple | list | dict):
        return f"a {type(row).__name__} of {len(row)}"
    if not hasattr(row, "shape"):
        return str(row)
    return f"{row.dtype}{list(row.shape)}"


def _explained(error: Exception, function: Any, x: Any) -> str:
    """Explanation of a function's failure to trace, from JAX's error."""
    name, text = type(error).__name__, str(error)
    if "changes while it runs" in text:
        return text
    if name in ("TraceContextError", "UnexpectedTracerError"):
        first = text.partition(" (http")[0].splitlines()[0]
        return _changes(first)
    example = f"one example of shape {tuple(x.shape)}, {x.dtype}"
    package = _foreign_package(error, function)
    if package or isinstance(error, jax.errors.ConcretizationTypeError | _TO_NUMPY):
        return (
            f"the classifier is not a JAX function of {example} "
            f"({name}: {_first_line(text)}): it {_uses(package)}, which JAX cannot "
            "compile or differentiate. Give a function written with jax.numpy."
        )
    return (
        f"the classifier failed on {example} ({name}: {_first_line(text)}). It gets "
        "one example without a batch axis: wrap a network that takes batches, as in "
        "lambda x: net(x[None])[0]."
    )


_TO_NUMPY = jax.errors.TracerArrayConversionError


def _changes(what: str) -> str:
    return (
        f"the network changes while it runs ({what}), as batch norm and dropout do in "
        "training. Put it into evaluation mode first, as net.eval() in Flax NNX."
    )


def _uses(package: str | None) -> str:
    return f"uses {package}" if package else "converts its input to NumPy"


def _first_line(text: str) -> str:
    line = (text.strip() or "no reason given").splitlines()[0]
    return line if len(line) <= 200 else line[:200] + "..."


_FOREIGN = {
    "torch": "PyTorch",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "sklearn": "scikit-learn",
    "onnxruntime": "ONNX Runtime",
}


def _foreign_package(error: Exception, function: Any) -> str | None:
    """The framework of a function or of its failure; None if it is JAX."""
    while isinstance(function, jax.tree_util.Partial):
        function = function.func
    function = getattr(function, "value", function)
    kinds = [kind.__module__ for kind in type(function).__mro__]
    frame = error.__traceback__
    while frame is not None:
        kinds.append(frame.tb_frame.f_globals.get("__name__", ""))
        frame = frame.tb_next
    for module in kinds:
        if (root := str(module).partition(".")[0]) in _FOREIGN:
            return _FOREIGN[root]
    return None


def in_float32(logits_fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its logits in float32, for weights of any type."""
    return lambda *x: logits_fn(*x).astype(jnp.float32)


def float_example(x: Any, name: str = "x") -> Any:
    """The example, or examples, in float32.

    Raises:
        ValueError: it holds no real floating numbers.
    """
    if not hasattr(x, "dtype"):
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} is of type {type(x).__name__}: give an array of float32."
            ) from error
    if jnp.issubdtype(x.dtype, jnp.integer):
        raise ValueError(
            f"{name} holds {x.dtype}: give real numbers in the units of the "
            "classifier, for 16-bit audio x / 32768 in float32."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name} holds {x.dtype}: give an array of float32.")
    if x.dtype == jnp.float32:
        return x
    warnings.warn(
        f"{name} holds {x.dtype} and is cast to float32, the type of all computations.",
        stacklevel=3,
    )
    return x.astype(jnp.float32)


def check_key(key: Any, name: str = "key") -> None:
    """Refuse anything but one key of `jax.random`.

    Raises:
        ValueError: it is not one key.
    """
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    raw = dtype == jnp.uint32 and len(key.shape) == 1
    if not raw and not (typed and key.shape == ()):
        given = key if dtype is None else f"{dtype}{list(key.shape)}"
        raise ValueError(
            f"{name}={given}: give one key of JAX, such as jax.random.key(0)."
        )


def check_labels(y: Any, num_classes: int, *, shape: tuple[int, ...]) -> Any:
    """Labels or targets in int32.

    Args:
        y: class numbers.
        num_classes: of the classifier.
        shape: shape of the labels.

    Raises:
        ValueError: another type or shape, or a number that is no class. The numbers of
            traced labels are not checked.
    """
    given = y if hasattr(y, "dtype") else np.asarray(y)
    if not jnp.issubdtype(given.dtype, jnp.integer):
        raise ValueError(
            f"the labels hold {given.dtype}: give the number of each class as an "
            "integer, counted from 0"
        )
    if given.shape != shape:
        wanted = f"{shape[0]} of them, one an example" if shape else "one for x"
        hint = (
            ", as one-hot rows give by .argmax(-1)" if given.ndim > len(shape) else ""
        )
        raise ValueError(
            f"the labels have shape {list(given.shape)}: give the class number, "
            f"{wanted}{hint}"
        )
    if not is_traced(given):
        numbers = np.asarray(given)
        wrong = numbers[(numbers < 0) | (numbers >= num_classes)]
        if wrong.size:
            raise ValueError(
                f"label {wrong.flat[0]} is no class of this classifier, which has "
                f"{num_classes}: give numbers from 0 to {num_classes - 1}"
            )
    return given.astype(np.int32)
