"""Classifiers that flags and earlier runs name: in folders, files and modules."""

import pathlib
from collections.abc import Mapping
from typing import Any

from advjax import catalog, checkpoint, interop, pretrained
from advjax.classifier import BaseClassifier
from advjax.interop import ForeignClassifier
from advjax.runtime import foreign_names
from advjax.runtime.patience import PATIENCE_S

UNKNOWN = "unknown training"
_PUBLISHED = {"defence": "published weights"}


def load(text: str | pathlib.Path) -> BaseClassifier:
    """The classifier in a folder, or the network that a text names.

    Raises:
        ImportError: a package that the network needs is missing.
        FileNotFoundError: there is none.
        ValueError: it is damaged, another version wrote it, or it breaks the contract
            of `interop.load`.
    """
    text = str(text)
    if name := foreign_names.parse(text):
        if name.kind == "pretrained":
            return catalog.pick(name.place, pretrained.NETWORKS)
        return interop.load(text)
    try:
        return checkpoint.load(text)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}. Train one with `python -m experiments.train`, which names its "
            "folder, or leave --classifier out to have one trained"
        ) from error


def published(model: str, weights: str | None) -> str | None:
    """The name of a published network as of a classifier; None of other models.

    Args:
        model: a choice from `MODELS` or `pretrained.NETWORKS`.
        weights: a file with its weights; None for those of an installed package.
    """
    name, options = catalog.parse(model)
    if name not in pretrained.NETWORKS:
        return None
    return pretrained.spelled(name, {"file": weights} | options)


def notes(text: str | pathlib.Path) -> Mapping[str, Any]:
    """The notes on the training of a classifier; of users' networks there are none."""
    if name := foreign_names.parse(str(text)):
        return _PUBLISHED if name.kind == "pretrained" else {}
    return checkpoint.config(text).get("notes", {})


def compiles_long(classifier: BaseClassifier) -> str:
    """The sentence for who waits for a recurrent gradient; empty for other networks."""
    if not getattr(classifier, "recurrent", False):
        return ""
    return (
        f"No step of the attack has ended in {PATIENCE_S} s: the gradient of the "
        f"recurrent PyTorch module {classifier.name} is unrolled over time and takes "
        "minutes to compile. Attacks without gradients, such as --attack=nes, take the "
        "module with black_box=True in its mapping, which compiles none of it."
    )


def with_labels(classifier: BaseClassifier, labels: tuple[str, ...]) -> BaseClassifier:
    """The classifier with the classes of the clips in their order.

    Raises:
        ValueError: the clips have other classes than it.
    """
    if isinstance(classifier, ForeignClassifier):
        return classifier.in_order(labels)
    if classifier.labels != labels:
        raise ValueError(
            f"the classifier's classes ({_few(classifier.labels)}) are not those of "
            f"the records ({_few(labels)}): give records of its corpus"
        )
    return classifier


def network_name(classifier: BaseClassifier) -> str:
    """The network of a classifier as flags name it."""
    if isinstance(classifier, ForeignClassifier):
        return classifier.name
    return checkpoint.describe_module(classifier.module)["name"]


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" * (len(names) > 3))
