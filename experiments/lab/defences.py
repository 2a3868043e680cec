"""Facts of training defences that decide a folder's name, a stage and a judge."""

import inspect
from typing import NamedTuple

from advjax import catalog
from advjax.defences import DEFENCES, GradFn, plain
from advjax.smoothing import Noise


class Facts(NamedTuple):
    """Facts about the training of a defence.

    Attributes:
        at_input: its network is trained at its own input and serves every stage under
            one name.
        judge: gradients whose loss chooses the best step; None for the defence's own.
        names_noise: it trains on the task's noise, which is part of its name.
    """

    at_input: bool = False
    judge: GradFn | None = None
    names_noise: bool = False


FACTS = {
    "plain": Facts(at_input=True),
    "mixup": Facts(judge=plain()),
    "noisy": Facts(names_noise=True),
}


def facts(text: str) -> Facts:
    """The facts of a choice from `DEFENCES`."""
    return FACTS.get(catalog.parse(text)[0], Facts())


def gradients(text: str, *, sigma: float, noise: Noise) -> GradFn:
    """The gradient function of a choice from `DEFENCES`.

    Raises:
        ValueError: an unknown defence or option.
    """
    return catalog.pick(text, DEFENCES, sigma=sigma, law=noise)


def default(text: str, *, noise: str) -> str:
    """The default defence `text`, with the task's noise in the place of Gaussian."""
    return "noisy" if text == "gaussian" and noise != "gaussian" else text


def full_text(text: str, *, sigma: float, noise: str) -> str:
    """A choice from `DEFENCES` with its standard deviation, if it takes one.

    Folders of classifiers are named by it.
    """
    name, options = catalog.parse(text)
    if facts(text).names_noise:
        return f"{name}(noise={noise!r}, sigma={sigma!r})"
    if "sigma" not in inspect.signature(DEFENCES[name]).parameters:
        return text
    options = {"sigma": sigma} | options
    each = ", ".join(f"{option}={value!r}" for option, value in options.items())
    return f"{name}({each})"
