"""Checks of flags and folders before anything is built or trained."""

import math
import os
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from advjax import catalog, smoothing
from advjax.classifier import Classifier, variable_shapes
from advjax.interop import openvino
from advjax.models import MODELS
from advjax.runs.folder import check_run_folder
from advjax.runs.row_types import CERTIFICATES
from advjax.runtime.precision import check_precision
from advjax.runtime.text import printable
from experiments.lab import trainers
from experiments.lab.certify_settings import Certification
from experiments.lab.task import Draft

MOST_TILE = 2**20


def check(draft: Draft, *, num_points: int | None = None) -> None:
    """Refuse a task that cannot be done; build and write nothing.

    Raises:
        ValueError: a choice or number that is wrong or does not fit the data.
        OSError: a folder that is missing, or that cannot be read or written.
    """
    check_writable(draft.task.home, "--home")
    check_precision(draft.task.precision)
    if draft.task.engine == "openvino":
        openvino.check(draft.task.precision)
        if draft.given is not None:
            openvino.check_network(draft.given)
    if num_points is not None and num_points < 1:
        raise ValueError(f"--num_points={num_points}: give at least 1")
    source = draft.source
    most = source.sizes.get("test", 0)
    if most < 1:
        raise ValueError(f"{source.flag} has no test clips")
    if num_points is not None and num_points > most:
        raise ValueError(
            f"--num_points={num_points}: {source.flag} has {most} test clips at most"
        )
    if draft.given is None:
        _check_training(draft)


def check_certification(
    draft: Draft,
    request: Certification,
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
) -> None:
    """Refuse a certification that can only abstain or fail; write nothing.

    Raises:
        ValueError: see `check` and `smoothing.reach`.
        OSError: a folder that cannot be read or written.
    """
    plan = request.plan
    if plan.bound.stops_early and request.profile is not None:
        raise ValueError(
            "--profile traces votes of a fixed number: leave out "
            f"--bound={plan.bound.name}, whose votes are the same"
        )
    if request.tile is not None and not 1 <= request.tile <= MOST_TILE:
        raise ValueError(f"--tile={request.tile}: give 1 to {MOST_TILE:,} copies")
    if request.profile is not None:
        check_writable(request.profile, "--profile")
    smoothing.reach(draft.noise, plan)
    if workdir is not None:
        check_run_folder(workdir, CERTIFICATES, argument="--workdir")
    check(draft, num_points=num_points)


def _check_training(draft: Draft) -> None:
    """Refuse a network or a recipe that the data cannot train."""
    task, source = draft.task, draft.source
    count = len(source.labels)
    module = catalog.pick(task.model, MODELS, num_classes=count)
    if module.num_classes != count:
        raise ValueError(
            f"--model={task.model}: num_classes is {count} in {source.flag}; leave the "
            "option out"
        )
    shape = draft.representation.feature_shape
    what = f"--model={task.model} with {draft.representation.name} of shape {shape}"
    try:
        found = variable_shapes(module, shape)
    except Exception as error:  # noqa: BLE001  Flax and JAX raise many kinds
        reason = str(error).split("\n")[0][:200]
        raise ValueError(
            f"{what} cannot be made ({reason}): choose a network for such features, or "
            "other options"
        ) from error
    # Weights, their gradients, and the two means of Adam, in float32.
    needed = 16 * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(found))
    if needed > (most := _memory()):
        raise ValueError(
            f"{what} takes {needed / 2**30:,.0f} GB to train, and this machine "
            f"has {most / 2**30:,.0f}: choose a smaller width"
        )
    if task.engine == "openvino":
        weights = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), found)
        openvino.check_network(
            Classifier(weights, module, draft.representation, source.labels)
        )
    if not trainers.trainer_of(task.model).validates:
        return
    clips = source.sizes.get("train", 0)
    if clips < 1:
        raise ValueError(
            f"{source.flag} has no training clips: give some, or --classifier=FOLDER"
        )
    if source.sizes.get("validation", 0) < 1:
        raise ValueError(
            f"{source.flag} has no validation clips, which choose the best step of a "
            "training: give more recordings, or --classifier=FOLDER"
        )
    if clips < task.recipe.batch_size and not task.fit_batch:
        raise ValueError(
            f"--batch_size={task.recipe.batch_size}: {source.flag} has {clips} "
            "training clips at most; give fewer"
        )


def _memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError):
        return math.inf


def check_writable(folder: pathlib.Path, flag: str) -> None:
    """Refuse a folder that nothing can be written into; do not make it.

    Raises:
        OSError: it is a file, lies in one, or permission is denied.
    """
    shown = f"{flag}={printable(str(folder))}"
    there = folder.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        # A folder without permission is no folder either.
        reason = "is a file" if os.path.lexists(there) else "cannot be reached"
        raise NotADirectoryError(
            f"{shown}: {printable(str(there))} {reason}; give the name of a folder"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{shown}: permission denied in {printable(str(there))}; give a folder "
            "that you may write into"
        )


def numbers(flag: str, texts: Sequence[str], *, positive: bool = False) -> list[float]:
    """The numbers of a flag that lists them, finite and not negative.

    Raises:
        ValueError: one is no such number; the message names the flag and the text.
    """
    found = []
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (0 <= value < math.inf) or (positive and value == 0):
            least = "above 0" if positive else "of 0 or more"
            raise ValueError(
                f"--{flag}: {text!r} is not a finite number {least}; write "
                f"--{flag}=0.5,1"
            )
        found.append(value)
    return found
