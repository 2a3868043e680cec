"""Kernels and library calls of a compiled program: bytes, operations, precision.

A program of XLA runs one instruction after the other. Each reads its operands from
memory and writes its results there, once. Fused operations are one instruction.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from advjax.runtime.compiled_text import Computation, Instruction, Module, Shape

_NO_WORK = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
    "partition-id", "replica-id", "opt-barrier", "domain", "add-dependency",
    "async-done", "async-update", "copy-done", "all-reduce-done", "all-gather-done",
    "collective-permute-done", "send-done", "recv-done",
}  # fmt: skip
_NO_CALL = {"Sharding", "AllocateBuffer", "AssumeGatherIndicesInBound", "ConcatBitcast"}
"""Custom calls that move nothing."""
_UNNAMED = _NO_WORK | {"broadcast", "reshape", "iota", "copy"}
"""Operations that do not describe a fusion."""
_SLICES = {"slice", "dynamic-slice", "gather"}
CONVOLUTION, PRODUCT, OTHER = "convolution", "product", "other"


class Kernel(NamedTuple):
    """A kernel or library call.

    Attributes:
        kind: `CONVOLUTION`, `PRODUCT` (of matrices) or `OTHER`.
        label: the library call, or the operations that are fused.
        times: how often it runs; a loop of unknown length counts once.
        loops: loops of unknown length around it.
        num_bytes: of operands and results, of one run.
        least_bytes: of a convolution or product, those of inputs, weights and results.
        flops: of convolutions and products, of one run.
        precision: of these products: "bfloat16", "float16", "float32" (all bits),
            "tf32" (fewer passes), or "default" for the backend's choice.
    """

    kind: str
    label: str
    times: int
    loops: int
    num_bytes: float
    least_bytes: int = 0
    flops: int = 0
    precision: str = ""


def kernels(module: Module) -> list[Kernel]:
    """The kernels of a program, in order.

    Args:
        module: the program, as `compiled_text.parse` reads it.
    """
    return list(_walk(module, module.entry, 1, 0))


def _walk(module: Module, name: str, times: int, loops: int) -> Iterator[Kernel]:
    computation = module.computations[name]
    for one in computation:
        if one.opcode == "while":
            known = one.num_trips
            rounds = times * (1 if known is None else known)
            for called in one.called:
                yield from _walk(module, called, rounds, loops + (known is None))
        elif one.opcode == "conditional":
            ways = [
                list(_walk(module, branch, times, loops)) for branch in one.branches
            ]
            yield from max(ways, key=lambda way: sum(k.num_bytes for k in way))
        elif one.opcode in ("call", "async-start") and one.called:
            yield from _walk(module, one.called[0], times, loops)
        elif one.opcode not in _NO_WORK and one.target not in _NO_CALL:
            yield _kernel(module, computation, one)._replace(times=times, loops=loops)


def _kernel(module: Module, around: Computation, one: Instruction) -> Kernel:
    operands = [around.instructions[name] for name in one.operands]
    if one.opcode == "fusion":
        inner = module.computations[one.called[0]]
        num_bytes = _read(inner, operands) + _written(inner, one)
        return _fused(module, inner)._replace(num_bytes=num_bytes)
    label = one.target or one.opcode
    found = _product(one, [operand.shapes[0] for operand in operands if operand.shapes])
    num_bytes = _moved(one, operands)
    return (found or Kernel(OTHER, label, 1, 0, 0))._replace(
        label=label, num_bytes=num_bytes
    )


def _moved(one: Instruction, operands: list[Instruction]) -> float:
    """Bytes that an instruction outside of a fusion reads and writes."""
    read = sum(operand.num_bytes for operand in operands)
    if one.opcode in _SLICES:
        return 2 * one.num_bytes
    if one.opcode == "dynamic-update-slice":
        return 2 * operands[1].num_bytes
    if one.opcode == "copy-start":  # its result names the source, too
        return read + one.shapes[0].num_bytes
    return read + one.num_bytes


def _fused(module: Module, inner: Computation) -> Kernel:
    """The kernel of a fusion: its largest product if it has one."""
    found = [
        product
        for one in inner
        if (product := _product(one, _shapes_of(inner, one))) is not None
    ]
    names: dict[str, None] = {}
    for one in inner:
        if one.opcode == "fusion":  # a TPU's fusions are nested
            nested = _fused(module, module.computations[one.called[0]])
            found += [nested] if nested.flops else []
            names |= dict.fromkeys(nested.label.split(", "))
        elif one.opcode not in _UNNAMED:
            names[one.opcode] = None
    label = ", ".join(names) or inner.root.opcode
    if not found:
        return Kernel(OTHER, label, 1, 0, 0)
    largest = max(found, key=lambda each: each.flops)
    return largest._replace(label=f"fusion of {label}")


def _shapes_of(inner: Computation, one: Instruction) -> list[Shape]:
    names = [name for name in one.operands if name in inner.instructions]
    return [s for name in names for s in inner.instructions[name].shapes[:1]]


def _read(inner: Computation, operands: list[Instruction]) -> float:
    """Bytes of the operands that a fusion reads: slices of those it only slices."""
    users: dict[str, list[Instruction]] = {}
    for one in inner:
        for name in one.operands:
            users.setdefault(name, []).append(one)
    total = 0.0
    for one in inner:
        if one.opcode != "parameter":
            continue
        operand, share = operands[int(one.operands[0])], 0.0
        elements = max(1, sum(shape.num_elements for shape in one.shapes))
        for name, user in _users(users, one.name):
            first = user.operands[0] == name
            if first and user.opcode in _SLICES:
                share += user.shapes[0].num_elements / elements
            elif not (first and user.opcode == "dynamic-update-slice"):
                share = 1.0
        total += operand.num_bytes * min(1.0, share)
    return total


def _users(users, name: str) -> Iterator[tuple[str, Instruction]]:
    """Users of an instruction, as (name that they use, user), through bitcasts."""
    for user in users.get(name, ()):
        if user.opcode == "bitcast":
            yield from _users(users, user.name)
        else:
            yield name, user


def _written(inner: Computation, fusion: Instruction) -> float:
    """Bytes that a fusion writes: the changed part of what it changes in place."""
    root = inner.root
    several = root.opcode == "tuple"
    parts = root.operands if several else (root.name,) * len(fusion.shapes)
    if len(parts) != len(fusion.shapes):  # a tuple of tuples
        return fusion.num_bytes
    total = 0.0
    for name, shape in zip(parts, fusion.shapes, strict=True):
        one = inner.instructions[name]
        while one.opcode == "bitcast":
            one = inner.instructions[one.operands[0]]
        share = 1.0
        if one.opcode == "dynamic-update-slice":
            update = inner.instructions[one.operands[1]].shapes[0]
            share = update.num_elements / max(1, shape.num_elements)
        total += shape.num_bytes * share
    return total


def _product(one: Instruction, operands: list[Shape]) -> Kernel | None:
    """A convolution or product of matrices; None for other instructions."""
    target = one.target
    if one.opcode == "convolution" or target.startswith("__cudnn$conv"):
        kind, flops = CONVOLUTION, _conv_flops(one, operands)
    elif one.opcode == "dot" or target.startswith("__cublas$"):
        contracted = re.search(
            r'lhs_contracting_dim\w*"?[=:][{\[]([\d,"]*)', one.attributes
        )
        if contracted is None or len(operands) < 2:
            return None
        kind, flops = PRODUCT, 2 * one.shapes[0].num_elements
        for axis in re.findall(r"\d+", contracted[1]):
            flops *= operands[0].sizes[int(axis)]
    else:
        return None
    least = sum(shape.num_bytes for shape in (*operands[:2], one.shapes[0]))
    precision = _precision(one, operands[0].dtype)
    return Kernel(kind, one.opcode, 1, 0, 0, least, flops, precision)


def _precision(one: Instruction, dtype: str) -> str:
    if dtype in ("bf16", "f16"):
        return {"bf16": "bfloat16", "f16": "float16"}[dtype]
    found = re.search(
        r'operand_precision"?[=:][{\["]*(\w+)', one.attributes, re.IGNORECASE
    )
    chosen = found[1].lower() if found else "default"
    return {"highest": "float32", "high": "tf32"}.get(chosen, "default")


def _conv_flops(one: Instruction, operands: list[Shape]) -> int:
    """Two for each multiplication with an entry that is no padding.

    The labels of cuDNN's gradients are those of the convolution that they belong to.
    """
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", one.attributes)
    x, kernel, y = operands[0], operands[1], one.shapes[0]
    if one.target.endswith("BackwardInput"):
        x, y = y, x
    elif one.target.endswith("BackwardFilter"):
        kernel, y = y, kernel
    of_x, of_kernel, of_y = (
        dict(zip(names, shape.sizes, strict=False))
        for names, shape in zip(labels.groups(), (x, kernel, y), strict=True)
    )
    groups = int(_attribute(one, r"batch_group_count=(\d+)") or 1)
    flops = 2 * of_kernel["i"] * of_y["f"] * (of_x["b"] // groups)
    window = _attribute(one, r"window=\{([^}]*)\}") or ""
    axes = [letter for letter in labels[2] if letter.isdigit()]
    for place, axis in enumerate(axes):
        low, _ = _of_axis(window, "pad", place, "0_0").split("_")
        flops *= _num_valid(
            of_x[axis], of_kernel[axis], of_y[axis], int(low),
            int(_of_axis(window, "stride", place, "1")),
            int(_of_axis(window, "lhs_dilate", place, "1")),
            int(_of_axis(window, "rhs_dilate", place, "1")),
        )  # fmt: skip
    return flops


def _attribute(one: Instruction, pattern: str) -> str | None:
    found = re.search(pattern, one.attributes)
    return found[1] if found else None


def _of_axis(window: str, name: str, place: int, default: str) -> str:
    """The entry for an axis in text such as "size=3x3 pad=1_1x1_1"."""
    found = re.search(rf"(?:^| ){name}=(\S+)", window)
    return found[1].split("x")[place] if found else default


def _num_valid(
    size: int, taps: int, outputs: int, low: int, stride: int, spread: int, step: int
) -> int:
    """Pairs of an output and a tap that meet an entry, along one axis."""
    met = np.arange(outputs)[:, None] * stride + np.arange(taps)[None] * step - low
    inside = (met >= 0) & (met <= (size - 1) * spread) & (met % spread == 0)
    return int(inside.sum())
