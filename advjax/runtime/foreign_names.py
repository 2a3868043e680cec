"""Texts that name a network outside of a classifier's folder.

They stand where the folder of a trained classifier may stand:

  torch:PATH.py:FUNCTION    a PyTorch module that a function of a file returns
  module:PATH.py:FUNCTION   a JAX function that a function of a file returns
  onnx:FILE                 a model for ONNX Runtime
  pretrained:CHOICE         a published network of `advjax.pretrained.NETWORKS`

In the place of PATH.py a module that Python can import may stand: package.networks.
"""

import re
from typing import NamedTuple

from advjax.runtime.paths import user_path
from advjax.runtime.text import printable

KINDS = ("torch", "module", "onnx", "pretrained")
FORMS = "torch:PATH.py:FUNCTION, module:PATH.py:FUNCTION or onnx:FILE"


class ForeignName(NamedTuple):
    """A network outside of a classifier's folder.

    Attributes:
        kind: one of `KINDS`.
        place: the absolute path of a file, or a module that Python can import, or a
            published network with its options.
        function: that returns the network; empty for onnx and pretrained.
    """

    kind: str
    place: str
    function: str = ""

    def __str__(self) -> str:
        """The text that names it from any folder."""
        return ":".join(filter(None, self))

    @property
    def is_file(self) -> bool:
        """True if the place is a file."""
        return self.kind == "onnx" or self.place.endswith(".py")


def parse(text: str) -> ForeignName | None:
    """The network that a text names; None for the path of a folder.

    Raises:
        ValueError: it begins with a kind of network and does not go on as one.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        return None
    if kind == "pretrained":
        if rest:
            return ForeignName(kind, rest)
    elif kind == "onnx":
        if rest:
            return ForeignName(kind, str(user_path(rest)))
    elif found := re.fullmatch(r"(.+):([^\W\d]\w*)", rest):
        place, function = found[1], found[2]
        if place.endswith(".py"):
            return ForeignName(kind, str(user_path(place)), function)
        if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", place):
            return ForeignName(kind, place, function)
    raise ValueError(
        f"{printable(text)} names no network: write {FORMS}, where a module that "
        "Python can import may stand for PATH.py"
    )
