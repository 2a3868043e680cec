"""Steps of the study of the classical pipeline: transfer, and a figure of the stages.

Beside cell.json and a run for each attack, the folder of a classifier has transfer.tsv,
its predictions on adversarial examples of all classifiers.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from advjax import evaluation
from advjax.models import SurfSvm
from advjax.reports import figures
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import adversarial_examples, cached_rows, cell_files
from experiments.lab.grid import Job, Step
from experiments.lab.steps import attacked_points, is_whole
from experiments.lab.task import Task
from experiments.studies.robust_svm.selection import Choice


class Moved(NamedTuple):
    """The prediction of one classifier on an adversarial example of another one.

    Attributes:
        source: the cell of the classifier that was attacked.
        attack: the run's name, of the attack and its budget.
        id: the clip's.
        label: the clip's.
        clean: the prediction on the clip.
        answer: the prediction on the example.
    """

    source: str
    attack: str
    id: str
    label: int
    clean: int
    answer: int


@dataclasses.dataclass(frozen=True)
class Transfer(Step):
    """Predictions of one classifier on the examples of all.

    Attributes:
        victim: the classifier.
        task: its task.
        choice: of its setting, if it has one.
        num_points: clips that were attacked.
        made: the names of its runs by attacked classifier.
    """

    victim: str
    task: Task
    choice: Choice | None
    num_points: int
    made: Mapping[str, Sequence[str]]

    def given(self, job: Job) -> Any:
        """The chosen setting and those of finished runs; None before the victim's."""
        if not (job.folder.parent / self.victim / cell_files.FILE).exists():
            return None
        made = {
            source: {name: runs.description(f)["settings"] for name, f in each.items()}
            for source, each in self._runs(job).items()
        }
        return [self.choice and self.choice.setting(job.out), made]

    def run(self, job: Job) -> None:
        """Predict the examples that exist, unless transfer.tsv has them."""
        if (given := self.given(job)) is None:
            return
        task = self.choice.task(job.out, self.task) if self.choice else self.task
        system = task.resolve()
        points = attacked_points(system, self.num_points)
        decided_by = [system.classifier.digest(), *(point.id for point in points)]
        for source, each in given[1].items():
            for name, settings in each.items():
                decided_by += [source, name, json.dumps(settings, sort_keys=True)]
        file = job.folder.parent / self.victim / "transfer.tsv"
        digest = cached_rows.digest_of(decided_by)
        if cached_rows.read(file, Moved, digest) is not None:
            return

        def predictions(x):
            logits = evaluation.logits_of_batch(system.logits_fn(), x, batch_size=16)
            return logits.argmax(axis=1).tolist()

        clean = predictions(np.stack([point.x for point in points]))
        position = {point.id: place for place, point in enumerate(points)}
        rows = []
        for source, each in self._runs(job).items():
            for name, folder in each.items():
                stored = adversarial_examples.examples(folder, position)
                answers = predictions(np.stack([stored[p.id] for p in points]))
                rows += [
                    Moved(source, name, p.id, p.label, before, after)
                    for p, before, after in zip(points, clean, answers, strict=True)
                ]
        if rows:
            cached_rows.write(file, rows, digest)

    def _runs(self, job: Job) -> dict[str, dict[str, pathlib.Path]]:
        """The runs of every classifier whose runs are all finished."""
        found = {
            source: {run: job.folder.parent / source / run for run in of}
            for source, of in self.made.items()
        }
        return {s: of for s, of in found.items() if all(map(is_whole, of.values()))}


@dataclasses.dataclass(frozen=True)
class DrawStages(Step):
    """A figure of three images and their outputs of each stage of the pipeline."""

    num_points: int

    def run(self, job: Job) -> None:
        """Draw stages_CORPUS.png into the folder of the study."""
        system = job.resolve()
        classifier, points = system.classifier, attacked_points(system, self.num_points)
        module: SurfSvm = classifier.module
        chosen = [points[i] for i in np.linspace(0, len(points) - 1, 3).astype(int)]
        x = jnp.asarray(np.stack([point.x for point in chosen])[..., 0])
        enhanced, reduced = (
            jax.jit(jax.vmap(front.reduce))(x)
            for front in (module.front._replace(energy=1), module.front)
        )
        purify = functools.partial(module.apply, method=SurfSvm.purify)
        purified = jax.jit(purify)(classifier.variables, x)
        kind = "variance" if module.centred else "energy"
        share = f"{100 * module.energy:g} % of the {kind}"
        titles = ["image", "enhanced", share, "denoised"]
        figures.image_grid_plot(
            np.stack([x, enhanced, reduced, purified], axis=1),
            job.out / f"stages_{job.cell['corpus']}.png",
            row_labels=[classifier.labels[point.label] for point in chosen],
            titles=[titles] * len(chosen),
            units="level within [0, 1]",
            title="Behind each stage of the pipeline",
        )


@dataclasses.dataclass(frozen=True)
class DrawTwins(Step):
    """A figure of clips and their adversarial twins, each with its prediction.

    Attributes:
        runs: the run of each row's examples, below the folder of this input, by title.
        num_points: clips that were attacked.
        num_rows: of each run.
    """

    runs: Mapping[str, str]
    num_points: int
    num_rows: int = 2

    def given(self, job: Job) -> list[str]:
        """The runs that are finished."""
        folders = {run: job.folder.parent / run for run in self.runs.values()}
        return [run for run, folder in folders.items() if is_whole(folder)]

    def run(self, job: Job) -> None:
        """Draw twins_CORPUS.png into the folder of the study."""
        system = job.resolve()
        points = {p.id: p for p in attacked_points(system, self.num_points)}
        position = {id: place for place, id in enumerate(points)}
        labels, images, titles, names = system.classifier.labels, [], [], []
        for title, run in self.runs.items():
            folder = job.folder.parent / run
            if not is_whole(folder):
                continue
            rows = ATTACK_ROWS.read(folder)
            stored = adversarial_examples.examples(folder, position)
            won = np.flatnonzero(rows.success & (rows.clean == rows.label))
            for place in won[: self.num_rows]:
                id = rows.id[place]
                x, twin = points[id].x[..., 0], np.asarray(stored[id])[..., 0]
                images.append(np.stack([x, twin, twin - x]))
                first, second = (
                    labels[int(each[place])] for each in (rows.clean, rows.predict)
                )
                size = f"linf {rows.linf[place]:.3g}"
                titles.append([f"clip: {first}", f"twin: {second}", size])
                names.append(title)
        if images:
            figures.image_grid_plot(
                np.stack(images),
                job.out / f"twins_{job.cell['corpus']}.png",
                row_labels=names,
                titles=titles,
                units="level within [0, 1]",
                title="Clips, adversarial twins, and the predictions on both",
                last_is_difference=True,
            )
