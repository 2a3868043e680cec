"""Networks: the table of contents.

Every network takes `[batch, *features]` and a keyword `train: bool`, and returns
`[batch, classes]`.
"""

from collections.abc import Callable

from flax import linen as nn

from advjax.models.rescnn import ResCNN

MODELS: dict[str, Callable[..., nn.Module]] = {"rescnn": ResCNN}

__all__ = ["MODELS", "ResCNN"]
