"""Attacks on certified points of a smoothed classifier, judged by its own vote."""

import collections
import dataclasses
import functools
import math
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Float

from advjax import catalog, evaluation, smoothing
from advjax.attacks import Attack, expectation
from advjax.attacks.batches import default_slots
from advjax.records import spread
from advjax.runs import folder as runs
from advjax.runs.columns import Rows
from advjax.runs.row_types import (
    CERTIFICATES,
    SMOOTHED_ATTACKS,
    AttackRow,
    SmoothedAttackRow,
)
from advjax.runtime import parallel
from advjax.runtime.progress import duration
from advjax.types import Key, LogitsFn
from experiments.lab import (
    attack,
    attack_requests,
    classifiers,
    folder_names,
    vote_placement,
)
from experiments.lab.task import Draft, System, Task

_Made = TypeVar("_Made", System, Draft)

INSIDE = 1 - 1e-3
"""Share of the certified radius that is the budget inside of it."""


_GRADIENT = 3
"""Forward passes that a gradient takes as long as: one forward, about two backward."""


class SmoothedAttackRequest(NamedTuple):
    """Attacks on a smoothed classifier, and the votes that judge them.

    Attributes:
        attacks: choices from `ATTACKS`, with options: within an l2 budget, or a search
            for the smallest perturbation.
        fractions: l2 budgets as multiples of the noise's standard deviation. Each point
            is also attacked just inside its certified radius.
        num_draws: noisy copies in the mean that an attack's step sees.
        num_votes: noisy copies that judge a perturbation.
        num_slots: examples attacked at once; None for the backend's default.
        num_points: certified points that are attacked, spread over all; None for all.
    """

    attacks: Sequence[str]
    fractions: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)
    num_draws: int = 16
    num_votes: int = 1000
    num_slots: int | None = None
    num_points: int | None = None

    def settings(self) -> dict[str, Any]:
        """Settings that decide the rows; earlier versions attacked all points."""
        found = self._replace(num_slots=None)._asdict()
        if self.num_points is None:
            del found["num_points"]
        return found


def attacked_places(num_certified: int, num_points: int | None) -> list[int]:
    """The places, among the certified points in their order, of those attacked."""
    if num_points is None:
        return list(range(num_certified))
    return spread(num_certified, min(num_points, num_certified)).tolist()


def default_attacks(draft: Draft, *, num_steps: int) -> list[str]:
    """PGD, Carlini and Wagner's and, at the waveform, the imperceptible attack.

    PGD takes all of its steps: a success by the mean of one step's noise may be luck.

    Args:
        draft: whose smoothed classifier is attacked.
        num_steps: of PGD; the others take some times as many.
    """
    found = [
        f"pgd(norm='l2', num_steps={num_steps}, stop='last')",
        carlini_wagner(
            draft.task.sigma,
            draft.stage.feature_shape,
            num_searches=5,
            num_steps=2 * num_steps,
        ),
    ]
    if draft.stage.name == "waveform":
        found.append(f"imperceptible(num_steps=({3 * num_steps}, {6 * num_steps}))")
    return found


def carlini_wagner(
    sigma: float, shape: Sequence[int], *, num_searches: int, num_steps: int
) -> str:
    """Carlini and Wagner's attack with the options for a smoothed classifier.

    The smallest perturbation found may be luck of the noise. The attack therefore has
    to be sure by a factor of e. The norm of its steps is about a tenth of the noise's
    standard deviation, and its first constant balances a distance and a slope of about
    that standard deviation.

    Args:
        sigma: standard deviation of the noise.
        shape: of the stage that is attacked.
        num_searches: constants that are tried.
        num_steps: for each constant.
    """
    rate = sigma / 10 / math.sqrt(math.prod(shape))
    return (
        f"carlini_wagner(num_searches={num_searches}, num_steps={num_steps}, "
        f"confidence=1.0, learning_rate={rate:.3g}, initial_c={sigma**2:.3g}, "
        "abort_early=False, change_of_variables='none')"
    )


class Trial(NamedTuple):
    """One certified point to attack within one budget."""

    point: evaluation.Point
    radius: float
    attack: str
    budget: str
    eps: float

    @property
    def row(self) -> SmoothedAttackRow:
        """Its row before the attack."""
        return SmoothedAttackRow(
            self.point.id, self.point.label, self.radius, self.attack, self.budget,
            self.eps, math.nan, smoothing.ABSTAIN, math.nan, 0,
        )  # fmt: skip


class Judge(NamedTuple):
    """The smoothed classifier, which votes on each trial's adversarial example.

    Attributes:
        logits_fn: the network alone.
        trials: by the id of their rows.
        key: of the votes, whose noise the attack has not seen.
        noise: of the smoothed classifier.
        num_votes: noisy copies of each example.
        alpha: probability that a row names a class that is not the smoothed one's.
        placement: of the votes on the devices.
    """

    logits_fn: LogitsFn
    trials: Mapping[str, Trial]
    key: Key
    noise: smoothing.Noise
    num_votes: int
    alpha: float
    placement: smoothing.Placement

    def row(
        self, row: AttackRow, x_adv: Float[np.ndarray, "*features"]
    ) -> SmoothedAttackRow:
        """The row of a trial, from the attack's own row and its example."""
        found = smoothing.predict(
            self.logits_fn, x_adv, evaluation.example_key(self.key, row.id),
            noise=self.noise, num_samples=self.num_votes, alpha=self.alpha,
            placement=self.placement,
        )  # fmt: skip
        return self.trials[row.id].row._replace(
            l2=row.l2,
            predict=found.prediction,
            p_value=found.p_value,
            votes=found.votes,
        )


def inputs_of(
    built: Attack, todo: Sequence[Trial], *, noise: smoothing.Noise, num_draws: int
) -> attack.Inputs:
    """Trials of one attack, which sees the mean over fresh noise in each step."""
    return attack.Inputs(
        expectation(built, sample=noise.sample, num_samples=num_draws),
        [trial.point._replace(id=trial.row.id) for trial in todo],
        [trial.eps for trial in todo] if built.fixed_budget else None,
    )


def run(
    system: System,
    certified: pathlib.Path,
    request: SmoothedAttackRequest,
    *,
    environment: Mapping[str, Any],
) -> pathlib.Path:
    """Attack what has no row; return the run's folder, within that of the certificates.

    The votes that judge are those of the certified evaluation of the network. Gradients
    are JAX's, see `differentiable`.

    Raises:
        ValueError: see `check`; or certificates of another classifier or stage.
    """
    built = check(system, request)
    described = runs.description(certified)
    settings = described["settings"]
    given = {
        "classifier": system.classifier.digest(),
        "noise_enters_at": system.stage.name,
    }
    if given != {name: settings[name] for name in given}:
        raise ValueError(f"{certified} certifies another classifier or stage")
    rows = CERTIFICATES.read(certified)
    radii = {row.id: row.radius for row in rows if row.correct}
    every = system.test_points(settings["num_points"])
    places = attacked_places(len(every), request.num_points)
    points = [every[place] for place in places if every[place].id in radii]
    sigma = system.task.sigma
    within = {f"{fraction:g} sigma": fraction * sigma for fraction in request.fractions}
    batches, trials, budgets_of_a_point = [], {}, collections.Counter()
    for text, each in built.items():
        todo = [
            Trial(point, radius, text, *budget)
            for point in points
            for radius in [float(radii[point.id])]
            for budget in (
                within | {"radius": INSIDE * radius}
                if each.fixed_budget
                else {"smallest": math.inf}
            ).items()
        ]
        budgets_of_a_point.update(trial.point.id for trial in todo)
        trials |= {trial.row.id: trial for trial in todo}
        inputs = functools.partial(
            inputs_of, each, todo, noise=system.noise, num_draws=request.num_draws
        )
        work = _GRADIENT * each.max_steps * request.num_draws + request.num_votes
        batches.append(attack.Batch([trial.row.id for trial in todo], inputs, work))
    made = {
        **request.settings(),
        # All votes on a point together err as rarely as its certificate.
        "alpha": settings["alpha"] / max([1, *budgets_of_a_point.values()]),
        "certificates": settings,
    }
    mesh, engine = parallel.local_mesh(), system.task.engine
    vote_mesh = mesh
    if engine != "jax":
        vote_mesh = vote_placement.mesh_for(system.classifier, engine)
    key = jax.random.fold_in(jax.random.key(system.task.seed), 1)
    key_attack, key_vote = jax.random.split(key)
    judge = Judge(
        system.logits_fn(), trials, key_vote, system.noise, request.num_votes,
        made["alpha"], smoothing.Placement(settings["tile"], mesh=vote_mesh),
    )  # fmt: skip
    num_devices = 1 if mesh is None else mesh.size
    prepared = attack.Prepared(
        folder=certified / folder_names.name_of("smoothed_attacks", made),
        settings=made,
        environment=environment,
        title="smoothed attacks",
        logits_fn=differentiable(system).logits_fn(),
        batches=batches,
        key=key_attack,
        # As many as hold the noisy copies of the backend's default.
        num_slots=request.num_slots
        or num_devices * max(1, default_slots() // request.num_draws),
        mixed=True,
        schema=SMOOTHED_ATTACKS,
        row=judge.row,
        unit="trials",
        compiles_long=classifiers.compiles_long(system.classifier),
    )

    def plan(done: Collection[str]) -> list[str]:
        same = described["environment"].get("device") == environment.get("device")
        if not same or engine != "jax":
            return []
        left = {
            text: batch.work * sum(id not in done for id in batch.ids)
            for text, batch in zip(built, batches, strict=True)
        }
        return expected_durations(left, rows, settings["num_selection"])

    attack.run(prepared, keep_examples=False, plan=plan)
    return prepared.folder


def expected_durations(
    passes: Mapping[str, int], certificates: Rows, num_selection: int
) -> list[str]:
    """A line on the time that attacks take, by the time of the certificates' votes.

    Args:
        passes: forward passes that are left, by the text of the attack.
        certificates: rows that were certified on the same kind of device.
        num_selection: votes of a certificate beside `n`.
    """
    votes = certificates.n + num_selection
    if not votes.all() or not certificates.time.all():
        return []
    # The median leaves out the clip that waited for compilation.
    pass_s = float(np.median(certificates.time / votes))
    each = [
        f"{catalog.parse(text)[0]} {duration(count * pass_s)}"
        for text, count in passes.items()
    ]
    whole = duration(sum(passes.values()) * pass_s)
    return [
        f"About {whole} in all after compilation, by the time of the votes: "
        f"{', '.join(each)}."
    ]


def differentiable_task(task: Task) -> Task:
    """The same network evaluated in float32 by JAX, if its engine has no gradients."""
    if task.engine == "jax":
        return task
    return dataclasses.replace(task, engine="jax", precision="float32")


def differentiable(made: _Made) -> _Made:
    """A draft or system of `differentiable_task`."""
    return dataclasses.replace(made, task=differentiable_task(made.task))


def check(task: System | Draft, request: SmoothedAttackRequest) -> dict[str, Attack]:
    """The attacks by their text, after a check of their norms and the task's noise.

    Raises:
        ValueError: attacks or noise that no l2 radius covers, or an unknown attack.
    """
    attacked = differentiable(task)
    built = {text: attack_requests.build(attacked, text) for text in request.attacks}
    if (noise := task.task.noise) != "gaussian":
        raise ValueError(
            f"--noise={noise} is not attacked here: budgets are l2 norms and gradients "
            "pass through the noise. Give --noise=gaussian"
        )
    for text, each in built.items():
        if each.targeted or (each.fixed_budget and each.norm != "l2"):
            raise ValueError(
                f"{text}: a certificate is against any change of the label within an "
                "l2 norm. Leave targeted out, and give norm='l2'"
            )
    return built
