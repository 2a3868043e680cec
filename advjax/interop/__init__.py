"""Networks of other frameworks as logits functions and classifiers."""

from advjax.interop.foreign import ForeignClassifier
from advjax.interop.loading import load
from advjax.interop.onnx_runtime import from_onnx
from advjax.interop.pytorch import from_torch

__all__ = ["ForeignClassifier", "from_onnx", "from_torch", "load"]
