"""Networks of other frameworks as logits functions."""

from advjax.interop.pytorch import from_torch

__all__ = ["from_torch"]
