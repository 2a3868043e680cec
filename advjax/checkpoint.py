"""A classifier as a folder: weights by Orbax, the rest in a readable JSON file."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
from flax import linen as nn

from advjax.atomic import new_folder
from advjax.classifier import Classifier
from advjax.models import MODELS
from advjax.representations import definition, from_definition

_CONFIG = "classifier.json"
_WEIGHTS = "weights"


class BrokenCheckpoint(ValueError):
    """A checkpoint that cannot be read whole; the message says what to do."""


def describe_module(module: nn.Module) -> dict[str, Any]:
    """A network as JSON: its name in `MODELS` and every option."""
    names = [name for name, build in MODELS.items() if isinstance(module, build)]
    if not names:
        raise ValueError(
            f"{type(module).__name__} is not in MODELS, so cannot be saved"
        )
    options = {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name")
    }
    return {"name": names[0], **options}


def save(folder: str | pathlib.Path, classifier: Classifier, **notes: Any) -> None:
    """Nothing; writes `classifier` to `folder`, whole or not at all.

    Args:
        folder: new, or empty.
        classifier: what to save.
        **notes: anything JSON that a reader may want to know (how it was trained).

    Raises:
        FileExistsError: something is in `folder`.
    """
    config = {
        "module": describe_module(classifier.module),
        "representation": definition(classifier.representation),
        "labels": list(classifier.labels),
        "digest": classifier.digest(),
        "notes": notes,
    }
    with new_folder(folder) as partial:
        with _checkpointer() as checkpointer:
            checkpointer.save(partial / _WEIGHTS, jax.device_get(classifier.variables))
        (partial / _CONFIG).write_text(
            json.dumps(config, indent=2) + "\n", encoding="utf-8"
        )


def config(folder: str | pathlib.Path) -> dict[str, Any]:
    """What `save` wrote beside the weights.

    Raises:
        FileNotFoundError: there is no classifier in `folder`.
        BrokenCheckpoint: the description cannot be read.
    """
    path = pathlib.Path(folder) / _CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"no classifier in {folder}: train one with `python -m experiments.train`, "
            "which names its folder, or leave --classifier out to have one trained"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BrokenCheckpoint(_advice(folder, f"{_CONFIG} is not JSON")) from error


def load(folder: str | pathlib.Path) -> Classifier:
    """The classifier in `folder`, as NumPy arrays: usable on any number of devices.

    Raises:
        FileNotFoundError: there is none.
        BrokenCheckpoint: it is cut short or was altered: the weights' digest differs.
    """
    written = config(folder)
    try:
        options = dict(written["module"])
        module = MODELS[options.pop("name")](**options)
        representation = from_definition(written["representation"])
    except (KeyError, TypeError) as error:
        raise BrokenCheckpoint(_advice(folder, f"unknown network: {error}")) from error
    try:
        with _checkpointer() as checkpointer:
            variables = checkpointer.restore(
                pathlib.Path(folder).absolute() / _WEIGHTS,
                _template(module, representation),
            )
    except Exception as error:  # noqa: BLE001  Orbax and TensorStore raise many kinds
        raise BrokenCheckpoint(_advice(folder, str(error).split("\n")[0])) from error
    classifier = Classifier(
        variables=jax.device_get(variables),
        module=module,
        representation=representation,
        labels=tuple(written["labels"]),
    )
    if classifier.digest() != written["digest"]:
        raise BrokenCheckpoint(_advice(folder, "its weights differ from their digest"))
    return classifier


def _checkpointer():
    """Orbax's, for this process alone: one of several does not wait for the others."""
    import orbax.checkpoint as ocp

    index = jax.process_index()
    return ocp.StandardCheckpointer(
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=index, active_processes={index}
        )
    )


def _template(module, representation):
    example = jax.ShapeDtypeStruct((1, *representation.feature_shape), "float32")
    init = lambda key, x: module.init(key, x, train=False)  # noqa: E731
    return jax.eval_shape(init, jax.random.key(0), example)


def _advice(folder, reason: str) -> str:
    return (
        f"the classifier in {folder} cannot be read: {reason[:300]}. It was cut short "
        "or altered: delete the folder and train again, or restore it from a copy"
    )
