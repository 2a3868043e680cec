"""Checks of flags and folders before anything is built or trained."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax

from advjax import catalog, checkpoint, records, smoothing
from advjax.attacks import ATTACKS, Attack
from advjax.models import MODELS, SurfSvm
from advjax.runs.folder import check_run_folder
from advjax.runs.row_types import CERTIFICATES
from advjax.runs.rows import Schema
from advjax.runtime.text import did_you_mean, printable
from experiments.lab import noise_laws, pipeline

if TYPE_CHECKING:
    from experiments.lab.certification import Certification

TARGETS = ("next", "random", "least_likely")
"""Targets that depend on the clip."""
MOST_TILE = 2**20
MOST_SLOTS = 2**16


def check(
    task: pipeline.Task,
    *,
    num_points: int | None = None,
    workdir: pathlib.Path | None = None,
    schema: Schema | None = None,
) -> None:
    """Refuse a task that cannot be done; build and write nothing.

    Args:
        task: what the flags describe.
        num_points: test clips that were asked for; None for the default.
        workdir: the run's folder, if one was given.
        schema: the rows that the run will have.

    Raises:
        ValueError: a choice or number that is wrong or does not fit the data.
        OSError: a folder that is missing, or that cannot be read or written.
    """
    check_writable(task.home, "--home")
    if workdir is not None and schema is not None:
        check_run_folder(workdir, schema, argument="--workdir")
    if num_points is not None and num_points < 1:
        raise ValueError(f"--num_points={num_points}: give at least 1")
    if task.classifier_folder is not None:
        checkpoint.config(task.classifier_folder)
    task.stage  # noqa: B018
    _feature_shape(task)
    noise_laws.check_law(task)
    if not noise_laws.curve_of_corpus(task):
        task.defence_text  # noqa: B018
    sizes = split_sizes(task)
    most = sizes.get("test", 0)
    if most < 1:
        raise ValueError(f"{source_of_clips(task)} has no test clips")
    if num_points is not None and num_points > most:
        raise ValueError(
            f"--num_points={num_points}: {source_of_clips(task)} has {most} test clips "
            "at most"
        )
    if task.classifier_folder is None:
        check_training(task)


def check_certification(
    task: pipeline.Task,
    request: "Certification",
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
) -> None:
    """Refuse what can only abstain or fail; build, train and write nothing.

    Args:
        task: whose classifier is to be certified.
        request: how.
        num_points: test clips that were asked for; None for the default.
        workdir: the run's folder, if one was given.

    Raises:
        ValueError: see `check` and `smoothing.plan`.
        OSError: a folder that cannot be read or written.
    """
    if request.bound == "sequential" and request.profile is not None:
        raise ValueError(
            "--profile traces votes of a fixed number: leave out --bound=sequential, "
            "whose votes are the same"
        )
    if request.tile is not None and not 1 <= request.tile <= MOST_TILE:
        raise ValueError(f"--tile={request.tile}: give 1 to {MOST_TILE:,} copies")
    if request.profile is not None:
        check_writable(request.profile, "--profile")
    law = smoothing.gaussian(1.0) if noise_laws.curve_of_corpus(task) else task.noise
    smoothing.plan(
        law,
        num_selection=request.num_selection,
        num_estimation=request.num_estimation,
        alpha=request.alpha,
        radii=request.radii,
        bound=request.bound,
    )
    check(task, num_points=num_points, workdir=workdir, schema=CERTIFICATES)


def check_target(task: pipeline.Task, text: str, attacks: Mapping[str, Attack]) -> None:
    """Refuse a target that no class has, or that no attack has a use for.

    Args:
        task: whose classifier is attacked.
        text: what --target says.
        attacks: the attacks by their text.

    Raises:
        ValueError: one of these.
    """
    labels = task.labels
    if text not in (*TARGETS, *labels):
        few = ", ".join(map(printable, labels[:3])) + ", ..." * (len(labels) > 3)
        raise ValueError(
            f"--target={printable(text)}: no such class."
            f"{did_you_mean(text, (*TARGETS, *labels))} Give {', '.join(TARGETS)}, or "
            f"a class: {few}"
        )
    if not any(attack.targeted for attack in attacks.values()):
        first = catalog.parse(next(iter(attacks)))[0]
        can = "targeted" in catalog.parameters(first, ATTACKS)
        raise ValueError(
            f"--target={printable(text)} has no effect on {' and '.join(attacks)}: "
            + (f"write {first}(targeted=True), or leave" if can else "leave")
            + " --target out"
        )


def source_of_clips(task: pipeline.Task) -> str:
    """The flag that says where clips come from, for messages."""
    if task.records_folder is not None:
        return f"--records={printable(task.records_folder)}"
    return f"--corpus={printable(task.corpus)}"


def split_sizes(task: pipeline.Task) -> Mapping[str, int]:
    """Clips of each split: as many as the records have, or can have once built."""
    if task.records_folder is not None:
        return records.info(task.records).splits
    corpus, _ = task.listed_corpus
    listed = {split: corpus.utterances(split) for split in task.crops}
    if corpus.whole:
        return {split: len(clips) for split, clips in listed.items()}
    return {
        split: task.crops[split] * len({clip.label for clip in clips})
        for split, clips in listed.items()
    }


def check_training(task: pipeline.Task) -> None:
    """Refuse a network or a recipe that the data cannot train."""
    module = catalog.pick(task.model, MODELS, num_classes=len(task.labels))
    if module.num_classes != len(task.labels):
        raise ValueError(
            f"--model={task.model}: num_classes is {len(task.labels)} in "
            f"{source_of_clips(task)}; leave the option out"
        )
    shape = _feature_shape(task)
    what = f"--model={task.model} with {task.representation.name} of shape {shape}"
    example = jax.ShapeDtypeStruct((1, *shape), "float32")
    try:
        found = jax.eval_shape(
            lambda key, x: module.init(key, x, train=False), jax.random.key(0), example
        )
    except Exception as error:  # noqa: BLE001  Flax and JAX raise many kinds
        reason = str(error).split("\n")[0][:200]
        raise ValueError(
            f"{what} cannot be made ({reason}): choose a network for such features, or "
            "other options"
        ) from error
    num_bytes = 4 * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(found))
    # Weights, their gradients, and the two means of Adam.
    if 4 * num_bytes > (most := _memory()):
        raise ValueError(
            f"{what} takes {4 * num_bytes / 2**30:,.0f} GB to train, and this machine "
            f"has {most / 2**30:,.0f}: choose a smaller width"
        )
    if isinstance(module, SurfSvm):
        return
    sizes = split_sizes(task)
    if sizes.get("validation", 0) < 1:
        raise ValueError(
            f"{source_of_clips(task)} has no validation clips, which choose the best "
            "step of a training: give more recordings, or --classifier=FOLDER"
        )
    if sizes.get("train", 0) < task.recipe.batch_size:
        raise ValueError(
            f"--batch_size={task.recipe.batch_size}: {source_of_clips(task)} has "
            f"{sizes.get('train', 0)} training clips at most; give fewer"
        )


def _feature_shape(task: pipeline.Task) -> tuple[int, ...]:
    """The shape of the network's input, however its steps fail."""
    try:
        return task.representation.feature_shape
    except Exception as error:  # noqa: BLE001  NumPy and JAX raise many kinds
        reason = str(error).split("\n")[0][:200]
        raise ValueError(
            f"--features={task.features} cannot be computed ({reason}): choose other "
            "options"
        ) from error


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
        # What cannot be seen into is no folder either.
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
