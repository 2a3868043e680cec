"""Classifiers on disk: a folder of Orbax weights and a readable JSON description.

Both have a digest. Earlier versions wrote no digest of the JSON file; it is then not
checked.
"""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib
from typing import Any

import jax
from flax import linen as nn

from advjax.classifier import Classifier, variable_shapes
from advjax.models import MODELS
from advjax.representations import definition, from_definition
from advjax.runtime.atomic import new_folder
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Fields, Items, Table, Text, read_json
from advjax.runtime.paths import user_path
from advjax.runtime.plain_paths import plain_path
from advjax.runtime.text import printable
from advjax.runtime.threads import silence_threads

_CONFIG = "classifier.json"
_WEIGHTS = "weights"


_SCHEMA = Fields(
    {
        "module": Fields({"name": Text()}, open=True),
        "representation": Table(),
        "labels": Items(Text(), low=1),
        "digest": Text(pattern="[0-9a-f]{16}"),
        "notes": Table(),
    },
    {"description": Text(pattern="[0-9a-f]{64}")},
)


class BrokenCheckpoint(Damaged):
    """A checkpoint is cut short or altered; the message says what to do."""


def describe_module(module: nn.Module) -> dict[str, Any]:
    """The network as JSON: its name in `MODELS` and every option.

    Raises:
        ValueError: the network is not in `MODELS`.
    """
    names = [name for name, build in MODELS.items() if isinstance(module, build)]
    if not names:
        raise ValueError(
            f"{type(module).__name__} cannot be saved: advjax.models.MODELS lacks it"
        )
    options = {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name")
    }
    return {"name": names[0], **options}


def save(folder: str | os.PathLike[str], classifier: Classifier, **notes: Any) -> None:
    """Write `classifier` to `folder`, whole or not at all.

    Args:
        folder: new, or empty.
        classifier: the classifier to save.
        **notes: any JSON values to keep with it, such as the training's settings.

    Raises:
        FileExistsError: the folder is not empty.
        OSError: the disk is full.
    """
    config = {
        "module": describe_module(classifier.module),
        "representation": definition(classifier.representation),
        "labels": list(classifier.labels),
        "digest": classifier.digest(),
        "notes": notes,
    }
    config["description"] = _digest(json.loads(json.dumps(config)))
    text = json.dumps(config, indent=2) + "\n"
    with new_folder(folder) as partial:
        with plain_path(partial) as plain, silence_threads(), _checkpointer() as each:
            each.save(plain / _WEIGHTS, jax.device_get(classifier.variables))
        (partial / _CONFIG).write_text(text, encoding="utf-8")


def config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The description that `save` wrote beside the weights.

    Raises:
        FileNotFoundError: there is no classifier in `folder`.
        BrokenCheckpoint: the description was altered.
        OSError: the file cannot be read.
    """
    path = user_path(folder) / _CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"no classifier in {printable(str(folder))}: give the folder that training "
            "printed"
        )
    try:
        written = read_json(path, _SCHEMA, finite=False)
    except Damaged as error:
        reason = f"it is not JSON that describes a classifier: {error}"
        raise BrokenCheckpoint(_advice(folder, reason)) from error
    if "description" in written and _digest(written) != written["description"]:
        raise BrokenCheckpoint(
            _advice(folder, f"{_CONFIG} (network, front end, labels) was changed")
        )
    return written


def load(folder: str | os.PathLike[str]) -> Classifier:
    """Load the classifier in `folder`, with NumPy arrays for any number of devices.

    Raises:
        FileNotFoundError: there is no classifier in `folder`.
        BrokenCheckpoint: it is cut short or altered, or another version wrote it.
        OSError: a file cannot be read.
    """
    written = config(folder)
    labels = tuple(written["labels"])
    try:
        options = dict(written["module"])
        module = MODELS[options.pop("name")](**options)
        representation = from_definition(written["representation"])
        template = variable_shapes(module, representation.feature_shape)
    except Exception as error:  # networks and front ends raise what they like
        raise BrokenCheckpoint(
            f"the classifier in {printable(str(folder))} has a network or front end "
            f"unknown to this version ({_short(error)}): load it with the version that "
            "wrote it, or train again"
        ) from error
    if getattr(module, "num_classes", len(labels)) != len(labels):
        reason = f"{len(labels)} labels do not belong to {module.num_classes} classes"
        raise BrokenCheckpoint(_advice(folder, reason))
    with plain_path(folder) as plain:
        _check_readable(plain / _WEIGHTS)
        try:
            with silence_threads(), _checkpointer() as checkpointer:
                restored = checkpointer.restore(plain / _WEIGHTS, template)
                variables = jax.device_get(restored)
        except MemoryError:
            raise
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise BrokenCheckpoint(_advice(folder, _short(error))) from error
    form = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    if form(variables) != form(template):
        raise BrokenCheckpoint(_advice(folder, "its weights have other shapes"))
    classifier = Classifier(
        variables=variables,
        module=module,
        representation=representation,
        labels=labels,
    )
    if classifier.digest() != written["digest"]:
        raise BrokenCheckpoint(_advice(folder, "its weights differ from their digest"))
    return classifier


def _digest(config: dict[str, Any]) -> str:
    """The digest of a description, without the digest it may contain."""
    bare = {key: value for key, value in config.items() if key != "description"}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


def _check_readable(folder: pathlib.Path) -> None:
    """Raise PermissionError for unreadable files, which are not damaged."""

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error

    for parent, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            path = pathlib.Path(parent, name)
            if not os.access(path, os.R_OK):
                raise PermissionError(
                    errno.EACCES, os.strerror(errno.EACCES), str(path)
                )


def _checkpointer():
    """Orbax's checkpointer for this process alone, which waits for no other process."""
    import orbax.checkpoint as ocp

    index = jax.process_index()
    return ocp.StandardCheckpointer(
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=index, active_processes={index}
        )
    )


def _short(error: Exception) -> str:
    return printable((str(error) or type(error).__name__).split("\n")[0])[:300]


def _advice(folder: str | os.PathLike[str], reason: str) -> str:
    return (
        f"the classifier in {printable(os.fspath(folder))} cannot be read: "
        f"{reason[:400]}. It was cut short or altered: delete the folder and train "
        "again, or restore it from a copy"
    )
