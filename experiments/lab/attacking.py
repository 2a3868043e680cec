"""Attacking a task's test points in a run that resumes."""

import contextlib
import inspect
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from advjax import catalog, evaluation, records
from advjax.attacks import ATTACKS, Attack, eps_for_dbfs, eps_for_snr
from advjax.metrics.robustness import attackable
from advjax.representations import Waveform, definition
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runs.rows import shard_name
from advjax.runtime import parallel
from advjax.runtime.progress import Progress
from advjax.types import LogitsFn
from experiments.lab import caveats, certification, made_names, pipeline
from experiments.lab.preflight import TARGETS
from experiments.lab.stored_examples import examples as examples
from experiments.lab.stored_examples import open_examples

EXAMPLES_FILE = "x_adv.npy"


class Request(NamedTuple):
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


def build(task: pipeline.Task, text: str, *, dry: bool = False) -> Attack:
    """The attack that `text` names, with the bounds of the stage it works at.

    An attack that starts from clips of other classes gets the first training clip of
    each, and one that weighs what is heard the sample rate.

    Args:
        task: whose classifier is attacked.
        text: a choice from `ATTACKS`, with options.
        dry: only to see whether it can be built; zeros stand for clips, so that no
            records are made.

    Raises:
        ValueError: an unknown attack or option, or an attack on waveforms elsewhere.
    """
    name, _ = catalog.parse(text)
    needed = inspect.signature(ATTACKS[name]).parameters if name in ATTACKS else {}
    given: dict[str, Any] = {}
    if "starts" in needed:
        shape = (len(task.labels), *task.stage.feature_shape) if dry else ()
        given["starts"] = np.zeros(shape, np.float32) if dry else _starts(task)
    if "sample_rate_hz" in needed:
        if not isinstance(task.stage, Waveform):
            raise ValueError(f"{name} perturbs waveforms: give --rep=waveform")
        given["sample_rate_hz"] = task.stage.sample_rate_hz
    return catalog.pick(text, ATTACKS, bounds=task.stage.bounds, **given)


def budget_of(text: str, x: Float[np.ndarray, "*features"], norm: str) -> float:
    """The budget of one example, in the attack's norm and the units of its stage.

    Args:
        text: "20dB": a signal-to-noise ratio; "-40dBFS": a level below full scale;
            "0.01": the norm itself.
        x: the clean example.
        norm: "linf" or "l2".

    Raises:
        ValueError: a text of another form, or a negative norm.
    """
    value, unit = parse_budget(text)
    if unit == "dB":
        return float(eps_for_snr(x, snr_db=value, norm=norm))
    if unit == "dBFS":
        return float(eps_for_dbfs(x.size, dbfs=value, norm=norm))
    return value


def parse_budget(text: str) -> tuple[float, str | None]:
    """The number and the unit of a budget: "dB", "dBFS", or None for a norm.

    Raises:
        ValueError: a text of another form, or a negative norm.
    """
    number = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
    found = re.fullmatch(
        rf"\s*({number})\s*(dB|dBFS)?\s*", text, re.ASCII | re.IGNORECASE
    )
    if not found:
        raise ValueError(
            f"--budget: cannot read the budget {text!r}: write 20dB for a "
            "signal-to-noise ratio, -40dBFS for a level, or a norm such as 0.01"
        )
    value, unit = float(found[1]), _UNITS[(found[2] or "").casefold()]
    low, high = _RANGES[unit]
    if not low <= value <= high:
        what = {
            "dB": f"a signal-to-noise ratio is {low:g} to {high:g} dB",
            "dBFS": f"a level is {low:g} to {high:g} dBFS",
            None: "a norm is finite and not a negative norm",
        }
        raise ValueError(
            f"--budget: the budget {text!r} means nothing: {what[unit]}; write 20dB, "
            "-40dBFS, or a norm such as 0.01"
        )
    return value, unit


_UNITS = {"db": "dB", "dbfs": "dBFS", "": None}
_RANGES = {"dB": (-100.0, 300.0), "dBFS": (-300.0, 20.0), None: (0.0, 1e30)}


def spelled_budget(text: str) -> str:
    """The budget as folders and tables name it: its unit in the usual letters."""
    _, unit = parse_budget(text)
    number = text.strip()[: len(text.strip()) - len(unit or "")].strip()
    return f"{number}{unit or ''}"


def check_budget(text: str | None, name: str, built: Attack) -> None:
    """Nothing; refuses, before any work, a budget that the attack cannot keep within.

    Raises:
        ValueError: none, one that cannot be read, or one that allows everything.
    """
    if not built.fixed_budget:
        return
    if text is None:
        raise ValueError(
            f"{name} keeps within a budget: give --budget=20dB (of SNR), "
            f"--budget=-40dBFS, or its {built.norm} norm"
        )
    value, unit = parse_budget(text)
    low, high = built.bounds
    if unit is None and built.norm == "linf" and value >= high - low:
        raise ValueError(
            f"a linf norm of {value:g} allows any input between the bounds {low:.4g} "
            f"and {high:.4g}: give less, or --budget={value:g}dB for a signal-to-noise "
            "ratio"
        )


class Prepared(NamedTuple):
    """An attack on points that is known to be possible, and the folder it goes to."""

    folder: pathlib.Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    attack: Attack
    logits_fn: LogitsFn
    points: Sequence[evaluation.Point]
    budgets: Sequence[float] | None
    targets: Sequence[int] | None
    num_slots: int | None

    def open(self) -> runs.RunFolder:
        """The run, ready for this process's rows."""
        return runs.open_run(
            self.folder,
            settings=self.settings,
            environment=self.environment,
            argument="--workdir",
            schema=ATTACK_ROWS,
            shard=parallel.process(),
            ids={point.id for point in self.points},
        )


def prepare(
    task: pipeline.Task,
    request: Request,
    points: Sequence[evaluation.Point],
    *,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
    built: Attack | None = None,
) -> Prepared:
    """What `attack` needs; its folder is there when this returns, in every process.

    Args:
        task: whose classifier is attacked.
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
    built = built or build(task, request.attack)
    check_budget(request.budget, name, built)
    classifier = task.classifier
    budgets = None
    if built.fixed_budget:
        budgets = [budget_of(request.budget, p.x, built.norm) for p in points]
    logits_fn = classifier.logits_fn(task.at)
    targets = None
    if built.targeted:
        targets = _targets(request.target, classifier, logits_fn, points)
    settings = {
        "corpus": records.info(task.records).name,
        "records": pipeline.records_digest(task.records),
        "classifier": classifier.digest(),
        "perturbation_enters_at": task.at,
        "representation": definition(task.representation),
        "attack": {"name": name, **_spelled(name, options)},
        "norm": built.norm,
        # JSON has no infinity.
        "bounds": [bound if math.isfinite(bound) else None for bound in built.bounds],
        "budget": request.budget if built.fixed_budget else None,
        "target": request.target if built.targeted else None,
        "black_box": built.black_box,
        "num_points": len(points),
        "seed": task.seed,
        "defence": task.trained_as,
    }
    if workdir is None:
        title = "-".join(
            filter(None, [task.records.name, task.at, name, settings["budget"]])
        )
        workdir = made_names.place(task.home / "attack", title, settings)
    origin = {
        **environment,
        "classifier_folder": made_names.text_of(
            task.classifier_home, run=workdir, home=task.home
        ),
        "records_folder": made_names.text_of(task.records, run=workdir, home=task.home),
        **caveats.environment(task.records),
    }
    prepared = Prepared(
        workdir, settings, origin, built, logits_fn, points, budgets, targets,
        request.num_slots,
    )  # fmt: skip
    parallel.all_do(f"open {workdir}", lambda: prepared.open().close())
    if (count := parallel.process().count) > 1:
        certification.check_shared(workdir, count)
    return prepared


def attack(prepared: Prepared, *, keep_examples: bool = True) -> None:
    """Nothing; attacks what has no row yet and is this process's to attack.

    Beside the rows are, if kept, the adversarial examples, [points, *features] in the
    order of the points, those of other processes left at zero: see `examples`.

    A process's share does not depend on what is done, so that a snapshot of points in
    mid-attack fits the next start with as many processes. With another number they
    start anew.
    """
    here, folder = parallel.process(), prepared.folder
    points = here.share(prepared.points)
    places = here.share(range(len(prepared.points)))
    position = {p.id: place for p, place in zip(points, places, strict=True)}
    with prepared.open() as run:
        left = sum(point.id not in run.done for point in points)
        pipeline.say(f"run         {folder}: {left} of {len(points)} points to attack")
        if not left:
            return
        stored = None
        if keep_examples:
            stored = open_examples(
                folder / _of_process(EXAMPLES_FILE, here),
                (len(prepared.points), *points[0].x.shape),
                has_rows=_has_rows(folder / shard_name(*here)),
            )
        fooled, seen = 0, 0
        with (
            stored or contextlib.nullcontext(),
            Progress(
                here.name(prepared.settings["attack"]["name"]),
                total=len(points),
                unit="points",
                done=len(points) - left,
            ) as line,
        ):
            for row, x_adv in evaluation.attack_points(
                prepared.attack,
                prepared.logits_fn,
                points,
                jax.random.key(prepared.settings["seed"]),
                budgets=prepared.budgets and here.share(prepared.budgets),
                targets=prepared.targets and here.share(prepared.targets),
                num_slots=prepared.num_slots,
                mesh=parallel.local_mesh(),
                done=run.done,
                snapshot=folder / _of_process("attack.npz", here),
                on_round=lambda: line.advance(0),
                note=pipeline.say,
            ):
                if stored is not None:
                    stored.write(position[row.id], x_adv)
                run.append(row)
                counts = attackable(row.label, row.clean, row.target)
                fooled, seen = fooled + (counts and row.success), seen + counts
                line.advance(note=f"success {fooled / seen:.2f}" if seen else "")


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


def _starts(task: pipeline.Task) -> Float[np.ndarray, "classes *features"]:
    source = records.read(task.records, "train")
    found: dict[int, Any] = {}
    wanted = len(records.info(task.records).labels)
    for index in range(len(source)):
        example = source[index]
        if example["label"] not in found:
            found[example["label"]] = evaluation.stage_features(
                task.stage, example["audio"]
            )
        if len(found) == wanted:
            break
    return np.stack([found[label] for label in range(wanted)])
