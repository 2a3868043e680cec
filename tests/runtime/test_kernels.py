"""Bytes and operations, read from the text of a compiled program."""

import pathlib

import pytest

from advjax.runtime.compiled_text import Shape, parse
from advjax.runtime.kernels import CONVOLUTION, OTHER, PRODUCT, kernels
from advjax.runtime.topologies import TARGETS, roofline

TEXT = (pathlib.Path(__file__).parent / "compiled" / "gpu.txt").read_text("utf-8")
# Taps of a 3x3 convolution with a border that meet an entry of 8 rows, 6 columns.
MET = (3 * 8 - 2) * (3 * 6 - 2)
X, Y, KERNEL, TABLE = 2 * 4 * 8 * 6 * 2, 2 * 4 * 8 * 6 * 3, 2 * 3 * 3 * 3 * 2, 4000


@pytest.fixture(scope="module")
def found():
    return kernels(parse(TEXT))


def test_instructions_have_shapes_and_computations():
    module = parse(TEXT)
    loop = module.computations[module.entry].instructions["while.2"]
    assert loop.called == ["body"] and loop.num_trips is None
    body = module.computations["body"].instructions
    assert body["while.1"].num_trips == 7
    assert body["conv.1"].operands == ("x", "kernel", "bias")
    assert body["conv.1"].shapes[0] == Shape("bf16", (4, 8, 6, 3), "3,2,1,0")


def test_a_text_without_a_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        parse("HloModule empty\n")


def test_each_kernel_counts_operands_and_results_once(found):
    assert [(each.kind, each.times, each.loops) for each in found] == [
        (CONVOLUTION, 1, 1),
        (OTHER, 1, 1),
        (CONVOLUTION, 1, 1),
        (OTHER, 7, 1),
        (OTHER, 7, 1),
        (PRODUCT, 1, 0),
    ]
    forward, clip, backward, row, update, product = found
    assert forward.num_bytes == X + KERNEL + 6 + Y
    assert forward.least_bytes == X + KERNEL + Y
    assert clip.num_bytes == Y + 6 + Y
    assert clip.label == "multiply, compare, select"
    assert backward.num_bytes == Y + KERNEL + X
    # A slice of the table is read, and written in place.
    assert row.num_bytes == pytest.approx(40 + 4 + 40)
    assert update.num_bytes == pytest.approx(40 + 4 + 40)
    assert product.num_bytes == 4 * (40 + 50 + 20)


def test_multiplications_with_padding_are_left_out(found):
    forward, _, backward, *_, product = found
    assert forward.flops == backward.flops == 2 * 4 * 2 * 3 * MET
    assert product.flops == 2 * 4 * 10 * 5


def test_precision_is_that_of_operands_and_of_the_choice(found):
    forward, _, backward, *_, product = found
    assert forward.precision == backward.precision == "bfloat16"
    assert product.precision == "float32"
    high = kernels(parse(TEXT.replace("operand_precision={highest,highest}", "")))
    assert high[-1].precision == "default"


def test_bytes_of_a_tpu_are_padded_to_tiles_and_leave_out_vector_memory():
    assert Shape("f32", (10, 3, 200), "2,1,0:T(8,128)").num_bytes == 4 * 10 * 8 * 256
    assert Shape("f32", (10, 200), "1,0:T(8,128)S(1)").num_bytes == 0


def test_a_roofline_says_what_bounds(found):
    target = TARGETS["h100"]
    line = roofline(target, found)
    seconds = sum(each.times * each.num_bytes for each in found) / target.bytes_per_s
    assert line.bound == "bytes" and line.seconds == pytest.approx(seconds)
    assert line.one_by_one_s >= line.seconds
    heavy = [each._replace(flops=10**12) for each in found]
    line = roofline(target, heavy)
    assert line.bound == "FLOPs"
    # Six of bfloat16 or of none, one of float32; six runs are in a loop of seven.
    assert line.flops_s > 10**12 / target.flops_per_s["float32"]
