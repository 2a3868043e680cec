"""Files of tensors that read, and files that would do more."""

import io
import pickle
import struct

import numpy as np
import pytest

from advjax.pretrained import tensor_files
from advjax.pretrained.tensor_files import NotTensors, read_old_torch, read_onnx

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class FloatStorage:
    """Pickled as a name that torch has."""


class Storage:
    def __init__(self, key, count):
        self.key, self.count = key, count


def _rebuild_tensor_v2():
    """Pickled as a name that torch has."""


FloatStorage.__module__ = "torch"
FloatStorage.__qualname__ = "FloatStorage"
_rebuild_tensor_v2.__module__ = "torch._utils"


class Pickler(pickle._Pickler):
    """Writes globals by name, whether they can be imported or not."""

    def persistent_id(self, each):
        if isinstance(each, Storage):
            return ("storage", FloatStorage, each.key, "cpu", each.count, None)
        return None

    def save_global(self, obj, name=None):
        module, name = obj.__module__, obj.__qualname__
        self.write(f"c{module}\n{name}\n".encode())
        self.memoize(obj)

    dispatch = {
        **pickle._Pickler.dispatch,
        type: save_global,
        type(_rebuild_tensor_v2): save_global,
    }


class Tensor:
    """Pickled as torch pickles a tensor."""

    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, {})

    def __reduce__(self):
        return _rebuild_tensor_v2, self.arguments


def saved(obj, storages=()):
    """A file as torch wrote it before 1.6."""
    stream = io.BytesIO()
    for each in (MAGIC, PROTOCOL, {"little_endian": True}):
        pickle.dump(each, stream, protocol=2)
    Pickler(stream, protocol=2).dump(obj)
    pickle.dump([key for key, _ in storages], stream, protocol=2)
    for _, numbers in storages:
        stream.write(struct.pack("<q", len(numbers)) + numbers.astype("<f4").tobytes())
    return stream.getvalue()


NUMBERS = np.arange(6, dtype=np.float32)


def test_tensors_come_back_with_their_shapes():
    storage = Storage("a", 6)
    obj = {
        "whole": Tensor(storage, 0, (2, 3), (3, 1)),
        "part": Tensor(storage, 4, (2,), (1,)),
        "step": 7,
    }
    found = read_old_torch(saved(obj, [("a", NUMBERS)]))
    np.testing.assert_array_equal(found["whole"], NUMBERS.reshape(2, 3))
    np.testing.assert_array_equal(found["part"], [4, 5])
    assert found["step"] == 7


class Calls:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def hostile():
    import os
    import subprocess

    storage = Storage("a", 6)
    yield "os.system", saved(Calls(os.system, "touch HACKED"))
    yield "subprocess.Popen", saved(Calls(subprocess.Popen, ["touch", "HACKED"]))
    yield "eval", saved(Calls(eval, "open('HACKED', 'w')"))
    yield "first pickle", pickle.dumps(Calls(os.system, "touch HACKED"), protocol=2)
    yield "stack global", pickle.dumps(Calls(os.system, "touch HACKED"), protocol=4)
    yield (
        "a dotted name",
        saved({}).replace(b"}", b"ccollections\nOrderedDict.__init__.__globals__\n", 1),
    )
    yield "extension code", pickle.dumps(MAGIC, protocol=2) + b"\x80\x02\x82\x01."
    yield (
        "a state for the function that rebuilds",
        pickle.dumps(MAGIC, protocol=2)
        + b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}U\x08__call__Nstb.",
    )
    yield (
        "beyond its storage",
        saved(Tensor(storage, 1, (2, 3), (3, 1)), [("a", NUMBERS)]),
    )
    yield (
        "a negative shape",
        saved(Tensor(storage, 0, (-1, -6), (-6, 1)), [("a", NUMBERS)]),
    )
    yield "other strides", saved(Tensor(storage, 0, (3, 2), (1, 3)), [("a", NUMBERS)])
    yield "a huge storage", saved(Tensor(Storage("a", 2**50), 0, (1,), (1,)))
    yield "a text as size", saved(Tensor(Storage("a", "6"), 0, (1,), (1,)))
    yield (
        "cut short",
        saved({"a": Tensor(storage, 0, (6,), (1,))}, [("a", NUMBERS)])[:-4],
    )
    yield "no storage", saved({"a": 1}, [("b", NUMBERS)])
    yield "empty", b""
    yield "text", b"hello"
    yield "zip", b"PK\x03\x04"
    yield "deep", saved(1)[:-8] + b"(" * 100_000
    yield "a long length", pickle.dumps(MAGIC, protocol=2) + b"\x8e" + b"\xff" * 8


@pytest.mark.parametrize(
    "content", [pytest.param(content, id=name) for name, content in hostile()]
)
def test_a_file_that_asks_for_more_is_refused_and_runs_nothing(
    content, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotTensors, match="no file of tensors"):
        read_old_torch(content)
    assert not list(tmp_path.iterdir())


def field(number, content):
    """A field of a protocol buffer message."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


def onnx(*tensors):
    graph = b"".join(field(5, each) for each in tensors)
    return field(1, 8) + field(7, field(2, b"graph") + graph)


def tensor(name="a", shape=(2, 3), kind=1, numbers=NUMBERS):
    parts = [field(1, size) for size in shape]
    parts += [field(2, kind), field(8, name.encode()), field(9, numbers.tobytes())]
    return b"".join(parts)


def test_tensors_of_an_onnx_file_come_back_with_their_shapes():
    found = read_onnx(onnx(tensor(), tensor("b", (6,))))
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], NUMBERS.reshape(2, 3))
    np.testing.assert_array_equal(found["b"], NUMBERS)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello", b"\xff" * 20, onnx(tensor())[:-1], onnx(tensor(kind=7)),
        onnx(tensor(shape=(2, 4))), onnx(field(8, b"a")), field(7, 3),
        onnx(tensor(shape=(2, 3)) + field(8, b"\xff")), field(7, b"\x2b"),
    ],
)  # fmt: skip
def test_another_file_is_no_onnx_file(content):
    with pytest.raises(NotTensors, match="no ONNX file"):
        read_onnx(content)


def test_the_reader_agrees_with_the_onnx_package():
    package = pytest.importorskip("onnx")
    array = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
    made = package.numpy_helper.from_array(array, "kernel")
    graph = package.helper.make_graph([], "g", [], [], initializer=[made])
    content = package.helper.make_model(graph).SerializeToString()
    np.testing.assert_array_equal(tensor_files.read_onnx(content)["kernel"], array)
