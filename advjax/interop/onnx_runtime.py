"""ONNX models as black boxes, evaluated by ONNX Runtime."""

import os
import pathlib
from typing import Any

import jax
import numpy as np

from advjax.interop.black_box import Batch, BlackBox, Rows
from advjax.padding import in_batches
from advjax.runtime import failures
from advjax.runtime.paths import user_path
from advjax.runtime.text import printable
from advjax.types import LogitsFn


def from_onnx(path: str | os.PathLike[str]) -> LogitsFn:
    """An ONNX model as a logits function without gradients.

    Certificates and attacks that need no gradients take it; others are refused.

    Args:
        path: the file. Its one input is a batch [batch, *features] of float32, its
            first output [batch, classes].

    Raises:
        ImportError: ONNX Runtime is missing.
        FileNotFoundError: there is no such file.
        ValueError: the file is no model that takes such batches.
    """
    return Model(path).logits_fn()


class Model:
    """A file opened in ONNX Runtime."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file; raises as `from_onnx` does."""
        failures.need("onnxruntime")
        import onnxruntime

        self.path = user_path(path)
        self.name = printable(str(self.path))
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no file {self.name}: name an ONNX model")
        options = onnxruntime.SessionOptions()
        # On a CPU each device is a thread that evaluates its own share.
        cores = os.cpu_count() or 1
        options.intra_op_num_threads = max(1, cores // jax.local_device_count())
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; warnings are about its own clean-up
        available = onnxruntime.get_available_providers()
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        try:
            self.session = onnxruntime.InferenceSession(
                str(self.path), options, [each for each in wanted if each in available]
            )
        except Exception as error:  # ONNX Runtime raises many kinds
            reason = printable(str(error).splitlines()[0])[:300]
            raise ValueError(
                f"{self.name} is no model for ONNX Runtime: {reason}"
            ) from error
        inputs = self.session.get_inputs()
        self.input = inputs[0]
        if len(inputs) != 1 or self.input.type != "tensor(float)":
            found = ", ".join(f"{each.name}: {each.type}" for each in inputs)
            raise ValueError(
                f"{self.name} takes {found}: give a model with one input, a batch of "
                "float32 [batch, samples]"
            )

    @property
    def feature_shape(self) -> tuple[int | None, ...]:
        """Shape of one example; None for an axis of any length."""
        axes = self.input.shape[1:]
        return tuple(each if isinstance(each, int) else None for each in axes)

    @property
    def metadata(self) -> dict[str, str]:
        """Properties that the file keeps beside the model."""
        return self.session.get_modelmeta().custom_metadata_map

    def call(self, x: Batch) -> Rows:
        """Rows of logits of examples, in batches of the size that the model fixes."""
        size, name = self.input.shape[0], self.input.name
        if not isinstance(size, int):
            return self._run({name: x})
        parts = in_batches(x, size)
        return np.concatenate([self._run({name: part})[:n] for part, n in parts])

    def _run(self, feed: dict[str, Any]) -> Rows:
        output = self.session.get_outputs()[0].name
        return self.session.run([output], feed)[0]

    def logits_fn(self, shape: tuple[int, ...] | None = None) -> LogitsFn:
        """The model as a logits function.

        Args:
            shape: of one example; None where the model fixes it, or any will do.

        Raises:
            ValueError: the model fails on such an example, or gives no row of logits.
        """
        shape = shape or tuple(each or 16_000 for each in self.feature_shape)
        try:
            rows = self.call(np.zeros((2, *shape), np.float32))
        except Exception as error:  # ONNX Runtime raises many kinds
            reason = printable(str(error).splitlines()[0])[:300]
            raise ValueError(
                f"{self.name} fails on a batch of shape {[2, *shape]}: {reason}"
            ) from error
        if rows.ndim != 2 or len(rows) != 2 or rows.shape[1] < 1:
            raise ValueError(
                f"{self.name} turns a batch of shape {[2, *shape]} into "
                f"{list(rows.shape)}: its first output has to be [batch, classes]"
            )
        return jax.tree_util.Partial(BlackBox(self.call, rows.shape[1], self.name))


def files_of(path: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The file of a model and the files beside it that hold its weights.

    A model names the latter; a file counts whose name stands in the model's bytes.
    """
    path = user_path(path)
    content = path.read_bytes()
    beside = (each for each in sorted(path.parent.iterdir()) if each.is_file())
    return [path, *(e for e in beside if e != path and e.name.encode() in content)]
