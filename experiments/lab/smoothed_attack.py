"""Attacking certified points of a smoothed classifier, judged by its own vote."""

import collections
import functools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from advjax import catalog, evaluation, smoothing
from advjax.attacks import Attack, expectation
from advjax.attacks.batches import default_slots
from advjax.runs import folder as runs
from advjax.runs.row_types import CERTIFICATES, SMOOTHED_ATTACKS, SmoothedAttackRow
from advjax.runtime import parallel
from advjax.runtime.progress import Progress
from advjax.types import Key, LogitsFn
from experiments.lab import attack, folder_names
from experiments.lab.console import say
from experiments.lab.task import Draft, System

INSIDE = 1 - 1e-3
"""Of the certified radius, the budget at which nothing may flip."""


class SmoothedAttackRequest(NamedTuple):
    """What to run, and how to judge it.

    Attributes:
        attacks: choices from `ATTACKS`, with options: within an l2 budget, or a search
            for the smallest perturbation.
        fractions: l2 budgets as multiples of the noise's deviation. Each point is also
            attacked just inside its certified radius.
        num_draws: noisy copies in the mean that an attack's step sees.
        num_votes: noisy copies that judge what it found.
        num_slots: examples attacked at once; None for the backend's default.
    """

    attacks: Sequence[str]
    fractions: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)
    num_draws: int = 16
    num_votes: int = 1000
    num_slots: int | None = None


def default_attacks(draft: Draft, *, num_steps: int) -> list[str]:
    """PGD, Carlini and Wagner's and, at the waveform, the imperceptible attack.

    PGD takes all of its steps: a success by the mean of one step's noise may be luck.
    So may the smallest of Carlini and Wagner's, which has to be sure by a factor of e;
    its steps have about a tenth of the noise's deviation as their norm, and its first
    constant balances a distance and a slope of about that deviation.

    Args:
        draft: whose smoothed classifier is attacked.
        num_steps: of PGD; the others take some times as many.
    """
    sigma = draft.task.sigma
    rate = sigma / 10 / math.sqrt(math.prod(draft.stage.feature_shape))
    found = [
        f"pgd(norm='l2', num_steps={num_steps}, stop='last')",
        f"carlini_wagner(num_searches=5, num_steps={2 * num_steps}, confidence=1.0, "
        f"learning_rate={rate:.3g}, initial_c={sigma**2:.3g}, "
        "abort_early=False, change_of_variables='none')",
    ]
    if draft.stage.name == "waveform":
        found.append(f"imperceptible(num_steps=({3 * num_steps}, {6 * num_steps}))")
    return found


class Trial(NamedTuple):
    """One certified point to attack within one budget."""

    point: evaluation.Point
    radius: float
    attack: str
    budget: str
    eps: float

    @property
    def row(self) -> SmoothedAttackRow:
        """Its row before anything is known."""
        return SmoothedAttackRow(
            self.point.id, self.point.label, self.radius, self.attack, self.budget,
            self.eps, math.nan, smoothing.ABSTAIN, math.nan, 0,
        )  # fmt: skip


def trials(
    points: Sequence[evaluation.Point],
    radii: Sequence[float],
    text: str,
    attack: Attack,
    *,
    sigma: float,
    fractions: Sequence[float],
) -> list[Trial]:
    """Every point at every budget; once, without any, for a search for the smallest.

    Args:
        points: what to attack.
        radii: their certified radii.
        text: the attack's name and options.
        attack: what they make.
        sigma: deviation of the noise.
        fractions: budgets as multiples of it.
    """
    made = []
    for point, radius in zip(points, radii, strict=True):
        budgets = {f"{fraction:g} sigma": fraction * sigma for fraction in fractions}
        budgets["radius"] = INSIDE * radius
        if not attack.fixed_budget:
            budgets = {"smallest": math.inf}
        made += [Trial(point, radius, text, *budget) for budget in budgets.items()]
    return made


def rows_of(
    attack: Attack,
    logits_fn: LogitsFn,
    todo: Sequence[Trial],
    key: Key,
    *,
    noise: smoothing.Noise,
    num_draws: int,
    num_votes: int,
    alpha: float,
    tile: int | None = None,
    num_slots: int | None = None,
    mesh: Mesh | None = None,
    **options: Any,
) -> Iterator[SmoothedAttackRow]:
    """Each trial's row, as soon as it is attacked and its result voted on.

    The attack sees the mean over fresh noise in each step; votes come from noise that
    it has not seen.

    Args:
        attack: what to run, unsmoothed.
        logits_fn: the network alone.
        todo: trials of this attack.
        key: root of all randomness; a trial's own follows from its row's id.
        noise: of the smoothed classifier.
        num_draws: noisy copies in a mean.
        num_votes: noisy copies that judge.
        alpha: probability that a row names a class that is not the smoothed one's.
        tile: noisy copies evaluated at once for the votes.
        num_slots: trials attacked at once; None for as many as hold the noisy copies
            of the backend's default.
        mesh: devices of this process that share the trials, and then the votes.
        **options: of `evaluation.attack_points`: `resume`.

    Raises:
        ValueError: see `evaluation.attack_points` and `smoothing.predict`.
    """
    key_attack, key_vote = jax.random.split(key)
    num_devices = 1 if mesh is None else mesh.size
    num_slots = num_slots or num_devices * max(1, default_slots() // num_draws)
    by_id = {trial.row.id: trial for trial in todo}
    smoothed = expectation(attack, sample=noise.sample, num_samples=num_draws)
    for row, x_adv in evaluation.attack_points(
        smoothed,
        logits_fn,
        [trial.point._replace(id=id) for id, trial in by_id.items()],
        key_attack,
        budgets=[t.eps for t in todo] if attack.fixed_budget else None,
        num_slots=num_slots,
        mesh=mesh,
        **options,
    ):
        found = smoothing.predict(
            logits_fn, x_adv, evaluation.example_key(key_vote, row.id), noise=noise,
            num_samples=num_votes, alpha=alpha,
            placement=smoothing.Placement(tile, mesh=mesh),
        )  # fmt: skip
        yield by_id[row.id].row._replace(
            l2=row.l2,
            predict=found.prediction,
            p_value=found.p_value,
            votes=found.votes,
        )


def run(
    system: System,
    certified: pathlib.Path,
    request: SmoothedAttackRequest,
    *,
    environment: Mapping[str, Any],
) -> pathlib.Path:
    """The folder of the run, within that of the certificates; it resumes.

    Args:
        system: whose smoothed classifier was certified.
        certified: the run of `certify.certify`. Its points that are certified
            right are attacked.
        request: with what.
        environment: where the rows come from.

    Raises:
        ValueError: see `check`; or certificates of another classifier or stage.
    """
    built = {text: attack.build(system, text) for text in request.attacks}
    _refuse_other_norms(system.task.noise, built)
    settings = runs.description(certified)["settings"]
    classifier = system.classifier
    given = {"classifier": classifier.digest(), "noise_enters_at": system.stage.name}
    if given != {name: settings[name] for name in given}:
        raise ValueError(f"{certified} certifies another classifier or stage")
    rows = CERTIFICATES.read(certified)
    radii = dict(zip(rows.id, rows.radius.tolist(), strict=True))
    right = {id for id, correct in zip(rows.id, rows.correct, strict=True) if correct}
    points = [p for p in system.test_points(settings["num_points"]) if p.id in right]
    todo = {
        text: trials(
            points,
            [radii[point.id] for point in points],
            text,
            each,
            sigma=system.task.sigma,
            fractions=request.fractions,
        )
        for text, each in built.items()
    }
    made = {
        **request._replace(num_slots=None)._asdict(),
        # All votes on a point together err as rarely as its certificate.
        "alpha": settings["alpha"] / max(1, _rows_of_a_point(todo)),
        "certificates": settings,
    }
    folder = certified / folder_names.name_of("smoothed_attacks", made)
    judge = functools.partial(
        rows_of,
        logits_fn=system.logits_fn(settings["precision"]),
        key=jax.random.fold_in(jax.random.key(system.task.seed), 1),
        noise=system.noise,
        num_draws=request.num_draws,
        num_votes=request.num_votes,
        alpha=made["alpha"],
        tile=settings["tile"],
        num_slots=request.num_slots,
        mesh=parallel.local_mesh(),
    )
    with runs.open_run(
        folder,
        settings=made,
        environment=environment,
        argument="--workdir",
        schema=SMOOTHED_ATTACKS,
        ids={trial.row.id for mine in todo.values() for trial in mine},
    ) as run:
        for number, (text, mine) in enumerate(todo.items()):
            left = sum(trial.row.id not in run.done for trial in mine)
            say(f"attack      {text}: {left} of {len(mine)} trials")
            if not left:
                continue
            flipped, seen = 0, 0
            with Progress(
                catalog.parse(text)[0],
                total=len(mine),
                unit="trials",
                done=len(mine) - left,
            ) as line:
                for row in judge(
                    built[text],
                    todo=mine,
                    resume=evaluation.AttackResume(
                        done=run.done,
                        snapshot=folder / f"attack-{number}.npz",
                        on_round=lambda line=line: line.advance(0),
                        note=say,
                    ),
                ):
                    run.append(row)
                    flipped, seen = flipped + row.flipped, seen + 1
                    line.advance(note=f"flipped {flipped / seen:.2f}")
    return folder


def check(draft: Draft, request: SmoothedAttackRequest) -> None:
    """Refuse attacks or noise that `run` cannot use; build no records.

    Raises:
        ValueError: attacks or noise that no l2 radius speaks of, or an unknown attack.
    """
    _refuse_other_norms(
        draft.task.noise, {text: attack.check(draft, text) for text in request.attacks}
    )


def _refuse_other_norms(noise: str, built: Mapping[str, Attack]) -> None:
    if noise != "gaussian":
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


def _rows_of_a_point(todo: Mapping[str, Sequence[Trial]]) -> int:
    counts = collections.Counter(t.point.id for each in todo.values() for t in each)
    return max(counts.values(), default=0)
