"""A run that attacks test points, and resumes."""

import contextlib
import functools
import math
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from advjax import catalog, evaluation
from advjax.attacks import Attack, fitting_slots, on_pcm16
from advjax.attacks.batches import default_slots
from advjax.metrics.robustness import attackable
from advjax.representations import Waveform, definition
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from advjax.runs.rows import Schema, shard_name
from advjax.runtime import parallel
from advjax.runtime.patience import patience
from advjax.runtime.progress import Progress
from advjax.types import Key, LogitsFn
from experiments.lab import budgets, caveats, classifiers, folder_names, shared_runs
from experiments.lab.adversarial_examples import (
    EXAMPLES_FILE,
    EXAMPLES_FOLDER,
    ExampleFile,
    ExampleFolder,
    open_examples,
)
from experiments.lab.attack_requests import AttackRequest, all_options, build, targets
from experiments.lab.console import say
from experiments.lab.task import System


class Inputs(NamedTuple):
    """An attack and the points that one compiled program runs it on.

    Attributes:
        attack: the attack.
        points: of one shape, or padded to one.
        budgets: one a point, in the attack's norm; None for attacks without.
        targets: the class to reach for each point, for a targeted attack.
    """

    attack: Attack
    points: Sequence[evaluation.Point]
    budgets: Sequence[float] | None = None
    targets: Sequence[int] | None = None

    def share(self, here: parallel.Process) -> "Inputs":
        """The part of one of several processes."""
        return Inputs(self.attack, *(each and here.share(each) for each in self[1:]))


class Batch(NamedTuple):
    """Points of one shape.

    Attributes:
        ids: of the points.
        inputs: computes the inputs of the attack on them.
        work: forward passes of a point at most, where batches differ in it.
    """

    ids: Sequence[str]
    inputs: Callable[[], Inputs]
    work: int = 1


class Prepared(NamedTuple):
    """An attack on points that is known to be possible, and its run.

    Attributes:
        folder: of the run.
        settings: everything that decides its rows.
        environment: where the rows come from.
        title: for people.
        logits_fn: the classifier after the stage that the points are at.
        batches: the points, those of each shape together.
        key: root of all randomness of the attacks.
        num_slots: examples attacked at once; None for the backend's default.
        mixed: whether batches differ in shape or attack. Each then has a snapshot of
            its own, and each adversarial example a file.
        schema: of the run's rows.
        row: the run's row of an attacked point and its adversarial example.
        unit: the word for the points, in the plural.
        compiles_long: said once where no step has ended in two minutes; or empty.
    """

    folder: pathlib.Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    title: str
    logits_fn: LogitsFn
    batches: Sequence[Batch]
    key: Key
    num_slots: int | None = None
    mixed: bool = False
    schema: Schema = ATTACK_ROWS.without(2)
    row: Callable[[AttackRow, Float[np.ndarray, "*features"]], Any] = (
        lambda row, x_adv: row
    )
    unit: str = "clips"
    compiles_long: str = ""

    def ids(self) -> list[str]:
        """The ids of all points, in their order."""
        return [id for batch in self.batches for id in batch.ids]

    def open(self) -> runs.RunFolder:
        """Open the run for this process's rows."""
        return runs.open_run(
            self.folder,
            settings=self.settings,
            environment=self.environment,
            argument="--workdir",
            schema=self.schema,
            shard=parallel.process(),
            ids=set(self.ids()),
        )


def prepare(
    system: System,
    request: AttackRequest,
    points: Sequence[evaluation.Point],
    *,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
    built: Attack | None = None,
) -> Prepared:
    """The input of `run`; its folder is there in every process on return.

    Args:
        system: whose classifier is attacked.
        request: the attack and its budget.
        points: what to attack.
        workdir: the run's folder; None for one in the task's home.
        environment: where the rows come from.
        built: an earlier result of `build`. Runs that share it also share its compiled
            programs, whatever their budgets.

    Raises:
        ValueError: a wrong attack, budget or target, a folder with other settings, or
            one that the other processes do not see.
    """
    name, options = catalog.parse(request.attack)
    built = built or build(system, request.attack)
    if request.finish:
        built = on_pcm16(built)
    budgets.check(request.budget, name, built)
    logits_fn, sizes, goals = system.logits_fn(), None, None
    if built.fixed_budget:
        sizes = [budgets.size(request.budget, p.x, built.norm) for p in points]
    if built.targeted:
        goals = targets(request, system, logits_fn, points)
    settings = {
        "corpus": system.data.info.name,
        "records": system.data.digest(),
        "classifier": system.classifier.digest(),
        "perturbation_enters_at": system.stage.name,
        "representation": definition(system.representation),
        "attack": {"name": name, **all_options(name), **options},
        "norm": built.norm,
        # JSON has no infinity.
        "bounds": [bound if math.isfinite(bound) else None for bound in built.bounds],
        "budget": request.budget if built.fixed_budget else None,
        "target": request.target if built.targeted else None,
        "black_box": built.black_box,
        "num_points": len(points),
        "seed": system.task.seed,
        "defence": system.defence,
        # Runs of earlier versions have no such key.
        **({"finish": request.finish} if request.finish else {}),
        **_precision(system),
    }
    home = system.task.home
    if workdir is None:
        parts = [system.data.folder.name, system.stage.name, name]
        parts += [settings["budget"], request.finish]
        title = "-".join(filter(None, parts))
        workdir = folder_names.place(home / "attack", title, settings)
    origins = {
        "classifier_folder": system.folder,
        "records_folder": system.data.folder,
    }
    inputs = Inputs(built, points, sizes, goals)
    prepared = Prepared(
        folder=workdir,
        settings=settings,
        environment={
            **environment,
            **{
                key: folder_names.text_of(folder, run=workdir, home=home)
                for key, folder in origins.items()
            },
            "weights": system.weights,
            **caveats.environment(system.data.folder),
        },
        title=name,
        logits_fn=logits_fn,
        batches=[Batch([point.id for point in points], lambda: inputs)],
        key=jax.random.key(system.task.seed),
        num_slots=request.num_slots,
        compiles_long=classifiers.compiles_long(system.classifier),
        **_file_columns(system.stage, logits_fn, request.finish),
    )
    shared_runs.open_together(workdir, prepared.open).close()
    return prepared


def _precision(system: System) -> dict[str, str]:
    """The precision of the network; runs in float32 do not say it."""
    precision = system.task.precision
    return {} if precision == "float32" else {"precision": precision}


def run(
    prepared: Prepared,
    *,
    keep_examples: bool = True,
    plan: Callable[[Collection[str]], Iterable[str]] = lambda done: (),
) -> None:
    """Attack this process's remaining points, appending one row each.

    A process's share does not depend on what is done, so that a snapshot of points in
    mid-attack fits the next start with as many processes. With another number they
    start anew.

    Args:
        prepared: the attack and its run.
        keep_examples: keep the adversarial examples, as `adversarial_examples` says.
        plan: lines on the work that is left, for the ids that are done.
    """
    here, folder = parallel.process(), prepared.folder
    shares = [here.share(batch.ids) for batch in prepared.batches]
    total = sum(map(len, shares))
    with prepared.open() as opened, contextlib.ExitStack() as stack:
        left = sum(id not in opened.done for share in shares for id in share)
        if not left:
            say(f"run         {folder}")
            say(f"            All {total} {prepared.unit} were attacked before.")
            return
        say(f"run         {folder}: {left} of {total} {prepared.unit} to attack")
        for text in plan(opened.done):
            say(f"            {text}")
        works = [batch.work for batch in prepared.batches]
        amount = sum(w * len(share) for w, share in zip(works, shares, strict=True))
        unit = prepared.unit if amount == total else "passes"
        todo = sum(
            w * sum(id not in opened.done for id in share)
            for w, share in zip(works, shares, strict=True)
        )
        line = stack.enter_context(
            Progress(
                here.name(prepared.title), total=amount, unit=unit, done=amount - todo
            )
        )
        compiled = stack.enter_context(patience(prepared.compiles_long))

        def after_round() -> None:
            compiled()
            line.advance(0)

        stored, fooled, seen = None, 0, 0
        for number, (batch, share) in enumerate(
            zip(prepared.batches, shares, strict=True)
        ):
            if all(id in opened.done for id in share):
                continue
            inputs = batch.inputs().share(here)
            if keep_examples and stored is None:
                shape = inputs.points[0].x.shape
                stored = stack.enter_context(_store(prepared, here, shape))
            snapshot = f"attack-{number}.npz" if prepared.mixed else "attack.npz"
            saved = folder / _of_process(snapshot, here)
            for row, x_adv in evaluation.attack_points(
                inputs.attack,
                prepared.logits_fn,
                inputs.points,
                prepared.key,
                budgets=inputs.budgets,
                targets=inputs.targets,
                num_slots=_num_slots(prepared, inputs, opened.done, saved),
                mesh=parallel.local_mesh(),
                resume=evaluation.AttackResume(
                    done=opened.done,
                    snapshot=saved,
                    on_round=after_round,
                    note=say,
                ),
            ):
                if stored is not None:
                    stored.write(row.id, x_adv)
                made = prepared.row(row, x_adv)
                opened.append(made)
                counts = attackable(row.label, row.clean, row.target)
                won = counts and getattr(made, "success", row.success)
                fooled, seen = fooled + won, seen + counts
                note = f"success {fooled / seen:.2f}" if seen else ""
                line.advance(batch.work, note=note)


def _num_slots(
    prepared: Prepared, inputs: Inputs, done: Collection[str], saved: pathlib.Path
) -> int | None:
    """The slots asked for, or as many of them as fit; a snapshot has its own."""
    if saved.exists():
        return prepared.num_slots
    mesh = parallel.local_mesh()
    left = sum(point.id not in done for point in inputs.points)
    num_devices = 1 if mesh is None else mesh.size
    wanted = prepared.num_slots or min(num_devices * default_slots(), left)
    fitting = fitting_slots(
        inputs.attack, prepared.logits_fn, inputs.points[0].shape, num_slots=wanted,
        mesh=mesh, padded=inputs.points[0].pad_to is not None,
    )  # fmt: skip
    if fitting < wanted:
        say(f"memory      holds {fitting} {prepared.unit} at once, not {wanted}")
    return fitting


def _store(
    prepared: Prepared, here: parallel.Process, shape: tuple[int, ...]
) -> ExampleFile | ExampleFolder:
    """This process's adversarial examples, the first of them of that shape."""
    if prepared.mixed:
        return ExampleFolder(prepared.folder / EXAMPLES_FOLDER)
    ids, rows = prepared.ids(), prepared.folder / shard_name(*here)
    return open_examples(
        prepared.folder / _of_process(EXAMPLES_FILE, here),
        (len(ids), *shape),
        position={id: place for place, id in enumerate(ids)},
        has_rows=ATTACK_ROWS.has_rows(rows.read_bytes()),
    )


def _of_process(name: str, here: parallel.Process) -> str:
    """The file `name`, or that of one of several processes."""
    if here.count == 1:
        return name
    stem, _, kind = name.partition(".")
    return f"{stem}-{here.index}-of-{here.count}.{kind}"


def _file_columns(stage, logits_fn: LogitsFn, finish: str | None) -> dict[str, Any]:
    """Schema and judge of the rows: an attack at the waveform has columns on files."""
    if not isinstance(stage, Waveform):
        return {"schema": ATTACK_ROWS.without(2)}
    judge = functools.partial(evaluation.judge_pcm16, logits_fn)
    return {"schema": ATTACK_ROWS.without(0 if finish else 1), "row": judge}
