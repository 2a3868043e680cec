"""Tensors from files of weights, without running any code that a file may hold.

Two formats are read: the tensors of ONNX files, and the pickles of PyTorch before 1.6.
Every other content is refused.
"""

import collections
import io
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""First two values of a pickle by PyTorch (`torch.serialization`)."""


class NotTensors(ValueError):
    """A file holds other things than tensors, or is damaged."""


def read_onnx(content: bytes) -> Tensors:
    """Float32 initialisers of an ONNX file, by name; its graph is not read.

    Source: github.com/onnx/onnx, `onnx.proto`: `ModelProto.graph` is field 7,
    `GraphProto.initializer` field 5, and a `TensorProto` has its dimensions, type, name
    and little-endian numbers in the fields 1, 2, 8 and 9.

    Raises:
        NotTensors: the content has another form.
    """
    try:
        found = {}
        graph = dict(_messages(content))[7]
        for field, tensor in _messages(graph):
            if field == 5:
                name, array = _tensor(tensor)
                found[name] = array
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotTensors(
            f"no ONNX file of float32 tensors ({_short(error)})"
        ) from error
    return found


def _tensor(message: bytes) -> tuple[str, np.ndarray]:
    """Name and numbers of a TensorProto."""
    fields = dict(_messages(message))
    shape = [value for field, value in _messages(message) if field == 1]
    name = fields[8].decode("utf-8")
    if fields[2] != _ONNX_FLOAT or len(fields[9]) != 4 * math.prod(shape):
        raise ValueError(f"{name} is no float32 tensor of its shape"[:100])
    return name, np.frombuffer(fields[9], "<f4").reshape(shape)


_ONNX_FLOAT = 1


def _messages(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and contents of the fields of a protocol buffer message.

    Source: protobuf.dev, "Encoding".
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
        else:
            size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = message[at : at + size], at + size
            if at > len(message):
                raise ValueError("it is cut short")
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte, at = message[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than ten bytes")


def read_old_torch(content: bytes) -> Any:
    """The saved object of a PyTorch file before 1.6, with NumPy arrays for tensors.

    Nothing but ordered dictionaries and float32 tensors is built: the pickle machine
    finds no other class or function.

    Source: `torch.serialization`, `_legacy_save`: four pickles (magic number, protocol,
    sizes, object), one of the storages' keys, then for each its length and numbers.

    Raises:
        NotTensors: the content has another form, or asks for anything else.
    """
    stream, storages = io.BytesIO(content), {}
    try:
        for wanted in (_MAGIC, _PROTOCOL):
            if _Machine(stream, storages).load() != wanted:
                raise ValueError("it does not begin as PyTorch's do")
        _Machine(stream, storages).load()
        found = _Machine(stream, storages).load()
        for key in _Machine(stream, {}).load():
            count = int.from_bytes(stream.read(8), "little")
            if count != storages[key].size:
                raise ValueError(f"a storage of {count} numbers")
            storages[key][:] = np.frombuffer(stream.read(4 * count), "<f4", count)
    except MemoryError:
        raise
    except Exception as error:  # the pickle machine raises what it likes
        raise NotTensors(f"no file of tensors ({_short(error)})") from error
    return found


class _Machine(pickle.Unpickler):
    """A pickle machine that builds dictionaries and float32 tensors only."""

    def __init__(self, stream: io.BytesIO, storages: dict[str, np.ndarray]) -> None:
        super().__init__(stream)
        self._room = len(stream.getbuffer()) // 4
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """One of three names, all without effects."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch", "FloatStorage"):
            return "float32"
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        raise ValueError(f"it asks for {module}.{name}"[:100])

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The storage of a key, filled after the last pickle."""
        kind, dtype, key, _, count, view = pid
        if (kind, dtype, view) != ("storage", "float32", None):
            raise ValueError(f"it asks for {kind!r} of {dtype!r}"[:100])
        if not 0 <= count <= self._room or not isinstance(key, str):
            raise ValueError(f"a storage of {count} numbers")
        if key not in self._storages:
            self._room -= count
            self._storages[key] = np.zeros(count, np.float32)
        if self._storages[key].size != count:
            raise ValueError(f"a storage of {count} numbers")
        return self._storages[key]


class _Rebuild:
    """`torch._utils._rebuild_tensor_v2` for contiguous tensors; holds no state."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, stride, *ignored) -> np.ndarray:
        count = math.prod(shape)
        contiguous = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        if tuple(stride) != contiguous or not 0 <= offset <= storage.size - count:
            raise ValueError(f"a tensor of shape {shape} and strides {stride}")
        return storage[offset : offset + count].reshape(shape)


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__).split("\n")[0][:200]
