"""Attacking a task's test points in a run that resumes."""

import contextlib
import inspect
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from advjax import catalog, evaluation
from advjax.attacks import ATTACKS, Attack
from advjax.metrics.robustness import attackable
from advjax.representations import Representation, Waveform, definition
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runs.rows import shard_name
from advjax.runtime import parallel
from advjax.runtime.progress import Progress
from advjax.types import LogitsFn
from experiments.lab import budgets, caveats, folder_names, shared_runs
from experiments.lab.adversarial_examples import (
    EXAMPLES_FILE,
    EXAMPLES_FOLDER,
    ExampleFile,
    ExampleFolder,
    open_examples,
)
from experiments.lab.console import say
from experiments.lab.preflight import TARGETS
from experiments.lab.task import Draft, System


class AttackRequest(NamedTuple):
    """One attack at one budget.

    Attributes:
        attack: a choice from `ATTACKS`, with options.
        budget: "20dB" (of SNR), "-40dBFS", or a norm; None for attacks that look for
            the smallest perturbation.
        target: the class to reach, for targeted attacks: one of `TARGETS`, or the name
            of a class.
        num_slots: examples attacked at once; None for the backend's default.
    """

    attack: str
    budget: str | None = None
    target: str = "random"
    num_slots: int | None = None


def build(system: System, text: str) -> Attack:
    """The attack that `text` names, with the bounds of the stage it works at.

    An attack that starts from clips of other classes gets the first training clip of
    each, and one that weighs what is heard the sample rate.

    Args:
        system: whose classifier is attacked.
        text: a choice from `ATTACKS`, with options.

    Raises:
        ValueError: an unknown attack or option, or an attack on waveforms elsewhere.
    """
    return _build(text, system.stage, lambda: _starts(system))


def check(draft: Draft, text: str) -> Attack:
    """The attack that `build` would make, with zeros for clips; build no records.

    Raises:
        ValueError: see `build`.
    """
    shape = (len(draft.source.labels), *draft.stage.feature_shape)
    return _build(text, draft.stage, lambda: np.zeros(shape, np.float32))


def _build(
    text: str,
    stage: Representation,
    starts: Callable[[], Float[np.ndarray, "classes *features"]],
) -> Attack:
    name, _ = catalog.parse(text)
    needed = inspect.signature(ATTACKS[name]).parameters if name in ATTACKS else {}
    given: dict[str, Any] = {}
    if "starts" in needed:
        given["starts"] = starts()
    if "sample_rate_hz" in needed:
        if not isinstance(stage, Waveform):
            raise ValueError(f"{name} perturbs waveforms: give --rep=waveform")
        given["sample_rate_hz"] = stage.sample_rate_hz
    return catalog.pick(text, ATTACKS, bounds=stage.bounds, **given)


class Inputs(NamedTuple):
    """Points to attack, and how: everything that one program runs on.

    Attributes:
        attack: what to run.
        points: of one shape.
        budgets: one a point, in the attack's norm; None for attacks without.
        targets: the class to reach for each point, for a targeted attack.
    """

    attack: Attack
    points: Sequence[evaluation.Point]
    budgets: Sequence[float] | None = None
    targets: Sequence[int] | None = None

    def share(self, here: parallel.Process) -> "Inputs":
        """Those of one of several processes."""
        return Inputs(
            self.attack,
            here.share(self.points),
            self.budgets and here.share(self.budgets),
            self.targets and here.share(self.targets),
        )


class Batch(NamedTuple):
    """Points of one shape by their ids; what costs time is computed when they run."""

    ids: Sequence[str]
    inputs: Callable[[], Inputs]


class Prepared(NamedTuple):
    """An attack on points that is known to be possible, and the folder it goes to.

    Attributes:
        folder: of the run.
        settings: everything that decides its rows.
        environment: where the rows come from.
        title: for people.
        logits_fn: the classifier after the stage that the points are at.
        batches: the points, those of each shape together.
        seed: of the attacks that draw.
        num_slots: examples attacked at once; None for the backend's default.
        mixed: whether points differ in their shape, so that every adversarial example
            is a file.
    """

    folder: pathlib.Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    title: str
    logits_fn: LogitsFn
    batches: Sequence[Batch]
    seed: int
    num_slots: int | None = None
    mixed: bool = False

    def ids(self) -> list[str]:
        """The ids of all points, in their order."""
        return [id for batch in self.batches for id in batch.ids]

    def open(self) -> runs.RunFolder:
        """The run, ready for this process's rows."""
        return runs.open_run(
            self.folder,
            settings=self.settings,
            environment=self.environment,
            argument="--workdir",
            schema=ATTACK_ROWS,
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
    """Everything that `run` needs; its folder is there in every process on return.

    Args:
        system: whose classifier is attacked.
        request: the attack and its budget.
        points: what to attack.
        workdir: the run's folder; None for one in the task's home.
        environment: where the rows come from.
        built: what `build` made of the attack before. Runs that share it also share its
            compiled programs, whatever their budgets.

    Raises:
        ValueError: a wrong attack, budget or target, a folder with other settings, or
            one that the other processes do not see.
    """
    name, options = catalog.parse(request.attack)
    built = built or build(system, request.attack)
    budgets.check(request.budget, name, built)
    classifier = system.classifier
    sizes = None
    if built.fixed_budget:
        sizes = [budgets.size(request.budget, p.x, built.norm) for p in points]
    logits_fn = system.logits_fn()
    targets = None
    if built.targeted:
        targets = _targets(request.target, classifier, logits_fn, points)
    settings = {
        "corpus": system.data.info.name,
        "records": system.data.digest(),
        "classifier": classifier.digest(),
        "perturbation_enters_at": system.stage.name,
        "representation": definition(system.representation),
        "attack": {"name": name, **_spelled(name, options)},
        "norm": built.norm,
        # JSON has no infinity.
        "bounds": [bound if math.isfinite(bound) else None for bound in built.bounds],
        "budget": request.budget if built.fixed_budget else None,
        "target": request.target if built.targeted else None,
        "black_box": built.black_box,
        "num_points": len(points),
        "seed": system.task.seed,
        "defence": system.defence,
    }
    if workdir is None:
        title = "-".join(
            filter(
                None,
                [system.data.folder.name, system.stage.name, name, settings["budget"]],
            )
        )
        workdir = folder_names.place(system.task.home / "attack", title, settings)
    origin = {
        **environment,
        "classifier_folder": folder_names.text_of(
            system.folder, run=workdir, home=system.task.home
        ),
        "records_folder": folder_names.text_of(
            system.data.folder, run=workdir, home=system.task.home
        ),
        **caveats.environment(system.data.folder),
    }
    inputs = Inputs(built, points, sizes, targets)
    prepared = Prepared(
        folder=workdir,
        settings=settings,
        environment=origin,
        title=name,
        logits_fn=logits_fn,
        batches=[Batch([point.id for point in points], lambda: inputs)],
        seed=system.task.seed,
        num_slots=request.num_slots,
    )
    parallel.all_do(f"open {workdir}", lambda: prepared.open().close())
    if (count := parallel.process().count) > 1:
        shared_runs.check_shared(workdir, count)
    return prepared


def run(prepared: Prepared, *, keep_examples: bool = True) -> None:
    """Attack this process's remaining points, appending one row each.

    Beside the rows are, if kept, the adversarial examples: see `adversarial_examples`.

    A process's share does not depend on what is done, so that a snapshot of points in
    mid-attack fits the next start with as many processes. With another number they
    start anew.
    """
    here, folder = parallel.process(), prepared.folder
    shares = [here.share(batch.ids) for batch in prepared.batches]
    total = sum(map(len, shares))
    with prepared.open() as opened:
        left = sum(id not in opened.done for share in shares for id in share)
        say(f"run         {folder}: {left} of {total} points to attack")
        if not left:
            return
        fooled, seen = 0, 0
        with (
            contextlib.ExitStack() as stack,
            Progress(
                here.name(prepared.title),
                total=total,
                unit="points",
                done=total - left,
            ) as line,
        ):
            stored = None
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
                for row, x_adv in evaluation.attack_points(
                    inputs.attack,
                    prepared.logits_fn,
                    inputs.points,
                    jax.random.key(prepared.seed),
                    budgets=inputs.budgets,
                    targets=inputs.targets,
                    num_slots=prepared.num_slots,
                    mesh=parallel.local_mesh(),
                    resume=evaluation.AttackResume(
                        done=opened.done,
                        snapshot=folder / _of_process(snapshot, here),
                        on_round=lambda: line.advance(0),
                        note=say,
                    ),
                ):
                    if stored is not None:
                        stored.write(row.id, x_adv)
                    opened.append(row)
                    counts = attackable(row.label, row.clean, row.target)
                    fooled, seen = fooled + (counts and row.success), seen + counts
                    line.advance(note=f"success {fooled / seen:.2f}" if seen else "")


def _store(
    prepared: Prepared, here: parallel.Process, shape: tuple[int, ...]
) -> ExampleFile | ExampleFolder:
    """Where this process keeps its adversarial examples, the first of that shape."""
    if prepared.mixed:
        return ExampleFolder(prepared.folder / EXAMPLES_FOLDER)
    ids = prepared.ids()
    return open_examples(
        prepared.folder / _of_process(EXAMPLES_FILE, here),
        (len(ids), *shape),
        position={id: place for place, id in enumerate(ids)},
        has_rows=_has_rows(prepared.folder / shard_name(*here)),
    )


def _has_rows(path: pathlib.Path) -> bool:
    return ATTACK_ROWS.has_rows(path.read_bytes())


def _of_process(name: str, here: parallel.Process) -> str:
    """The file `name`, or that of one of several processes."""
    if here.count == 1:
        return name
    stem, _, kind = name.partition(".")
    return f"{stem}-{here.index}-of-{here.count}.{kind}"


def _spelled(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of the attack, defaults too, but for its bounds: the stage's."""
    parameters = inspect.signature(ATTACKS[name]).parameters.values()
    plain = {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty and p.name != "bounds"
    }
    return {**plain, **options}


def _targets(text: str, classifier, logits_fn, points) -> list[int]:
    labels = np.asarray([point.label for point in points])
    count = len(classifier.labels)
    if text == "next":
        return [int(i) for i in (labels + 1) % count]
    if text == "random":
        # From the id, as all randomness of a point: the same in every run.
        keys = [evaluation.example_key(jax.random.key(1), p.id) for p in points]
        shifts = [int(jax.random.randint(key, (), 1, count)) for key in keys]
        return [int(i) for i in (labels + np.asarray(shifts)) % count]
    if text == "least_likely":
        x = np.stack([point.x for point in points])
        return [int(i) for i in evaluation.logits_of_batch(logits_fn, x).argmin(axis=1)]
    if text in classifier.labels:
        return [classifier.labels.index(text)] * len(points)
    raise ValueError(
        f"no target {text!r}: choose {', '.join(TARGETS)}, or a class such as "
        f"{classifier.labels[0]}"
    )


def _starts(system: System) -> Float[np.ndarray, "classes *features"]:
    source = system.data.split("train")
    found: dict[int, Any] = {}
    wanted = len(system.data.info.labels)
    for index in range(len(source)):
        example = source[index]
        if example["label"] not in found:
            found[example["label"]] = evaluation.stage_features(
                system.stage, example["audio"]
            )
        if len(found) == wanted:
            break
    return np.stack([found[label] for label in range(wanted)])
