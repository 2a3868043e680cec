"""Networks of other frameworks as logits functions and classifiers, and the way out."""

from advjax.interop.exporting import FORMATS, from_stablehlo, to_onnx, to_stablehlo
from advjax.interop.foreign import ForeignClassifier
from advjax.interop.loading import load
from advjax.interop.onnx_runtime import from_onnx
from advjax.interop.openvino import through_openvino
from advjax.interop.pytorch import from_torch

__all__ = [
    "FORMATS",
    "ForeignClassifier",
    "from_onnx",
    "from_stablehlo",
    "from_torch",
    "load",
    "through_openvino",
    "to_onnx",
    "to_stablehlo",
]
