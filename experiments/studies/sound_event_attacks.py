"""The attacks of the study on sound events, and how a cell of it is run."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax import catalog, evaluation
from advjax.attacks import ATTACKS, Attack, eps_for_snr
from advjax.attacks.checks import zero_gradient_shares
from advjax.classifier import Classifier
from advjax.training import Recipe
from advjax.types import LogitsFn
from experiments.lab import attack
from experiments.studies.sound_event_jobs import Job, by_length

SNR_DB = 20.0
"""Of white noise and FGSM: a ratio of 10 between the root mean squares (their code)."""


class Size(NamedTuple):
    """What suits a machine.

    Attributes:
        width_share: of the published networks' channels.
        recipe: of every training.
        num_clips: attacked without a target.
        max_seconds: of a clip that is attacked.
        num_pair_classes: every ordered pair of so many classes is attacked.
        clips_per_class: for each pair.
        searches: of Carlini-Wagner and L-BFGS.
        steps: of Carlini-Wagner, in one search.
        lbfgs_steps: in one search.
        num_slots: clips attacked at once.
    """

    width_share: float
    recipe: Recipe
    num_clips: int
    max_seconds: float
    num_pair_classes: int
    clips_per_class: int
    searches: int
    steps: int
    lbfgs_steps: int
    num_slots: int


# Few clips are learnt in few steps, at four times the published rate; the rate falls as
# over the publication's 40 epochs.
CPU = Size(
    width_share=1 / 4,
    recipe=Recipe(
        num_steps=300,
        batch_size=32,
        learning_rate=2e-3,
        schedule="staircase",
        decay_every=15,
        weight_decay=0.0,
        validate_every=50,
        stop_patience=0,
        balanced=True,
    ),
    num_clips=20,
    max_seconds=4.0,
    num_pair_classes=4,
    clips_per_class=1,
    searches=2,
    steps=200,
    lbfgs_steps=100,
    num_slots=4,
)
# 40 epochs of about 20,000 chunks in batches of 2 x 128; 6 clips of each of 41 classes.
PUBLICATION = Size(
    width_share=1.0,
    recipe=Recipe(
        num_steps=6_240,
        batch_size=256,
        learning_rate=5e-4,
        schedule="staircase",
        decay_every=312,
        weight_decay=0.0,
        validate_every=156,
        stop_patience=0,
        balanced=True,
    ),
    num_clips=246,
    max_seconds=30.0,
    num_pair_classes=6,
    clips_per_class=6,
    searches=2,
    steps=1000,
    lbfgs_steps=200,
    num_slots=32,
)


class Plan(NamedTuple):
    """One attack of the study.

    Attributes:
        title: its name in tables.
        text: a choice from `ATTACKS`; {n} stands for the samples of a clip.
        own_answer: whether it leaves the network's own answer instead of the label.
    """

    title: str
    text: str
    own_answer: bool = False


def plans(size: Size, select: str) -> dict[str, Plan]:
    """The publication's attacks with the constants of its authors' code.

    Their 200 iterations of DeepFool, 0.0244 = 1/41, 0.975, kappa 500, c 0.01 and 0.1
    are in `attacks/*.py` of VinodS7/audio-adversaries.

    Differs: an attack sees the logarithm of the mean probabilities of all chunks, where
    theirs add up the losses of chunks (C&W and FGSM) or average their tangents
    (DeepFool), and take the averages of a dense network's heads for logits. The squared
    distance of C&W is a sum, theirs a mean: c is multiplied by the samples, and grows
    tenfold after a failure, where theirs stays. Adam's rate is theirs, 1e-5, times
    1,000 over the steps taken, so that a search reaches as far; with a target it has
    twice the steps (theirs: so for the dense networks, in one search), and L-BFGS as
    many for all. Noise and FGSM stay within [-1, 1].
    """
    rate = 1e-5 * 1000 / size.steps
    wagner = (
        f"num_searches={size.searches},num_steps={{steps}},learning_rate={rate:g},"
        "initial_c=0.01*{n},confidence=500.0"
    )
    untargeted = wagner.replace("{steps}", str(size.steps))
    targeted = wagner.replace("{steps}", str(2 * size.steps))
    return {
        "noise": Plan("white noise", "noise"),
        "fgsm": Plan("FGSM", "fgsm"),
        "deepfool": Plan(
            "DeepFool",
            f"deepfool(max_steps=200,num_candidates=None,select='{select}')",
            own_answer=True,
        ),
        "carlini_wagner": Plan(
            "C&W", f"carlini_wagner({untargeted},probability=0.0244)"
        ),
        "carlini_wagner_targeted": Plan(
            "C&W targeted",
            f"carlini_wagner({targeted},probability=0.975,targeted=True)",
        ),
        "lbfgs_targeted": Plan(
            "L-BFGS targeted",
            f"lbfgs(num_searches={size.searches},num_steps={size.lbfgs_steps},"
            "initial_c=0.1,targeted=True)",
        ),
    }


def build(plan: Plan, num_samples: int) -> Attack:
    """The attack on clips of so many samples."""
    text = plan.text.replace("0.01*{n}", repr(0.01 * num_samples))
    return catalog.pick(text, ATTACKS)


def run_cell(
    plan: Plan,
    classifier: Classifier,
    jobs: Sequence[Job],
    folder: pathlib.Path,
    *,
    settings: Mapping[str, Any],
    environment: Mapping[str, Any],
    num_slots: int,
    seed: int = 0,
) -> None:
    """Attack the clips that have no row in `folder` yet.

    Args:
        plan: the attack.
        classifier: whom.
        jobs: which clips.
        folder: of the run.
        settings: what decides the rows.
        environment: where they come from.
        num_slots: clips attacked at once.
        seed: of the attacks that draw.
    """
    logits_fn = classifier.logits_fn("waveform")
    attack.run(
        attack.Prepared(
            folder=folder,
            settings=settings,
            environment=environment,
            title=f"{folder.parent.name}/{folder.name}",
            logits_fn=logits_fn,
            batches=[
                attack.Batch(
                    [job.id for job in group],
                    functools.partial(_inputs, plan, num_samples, group, logits_fn),
                )
                for num_samples, group in by_length(jobs).items()
            ],
            seed=seed,
            num_slots=num_slots,
            mixed=True,
        )
    )


def _inputs(
    plan: Plan, num_samples: int, jobs: Sequence[Job], logits_fn: LogitsFn
) -> attack.Inputs:
    """Clips of one padded length, and the attack on them."""
    built, points = build(plan, num_samples), [job.point() for job in jobs]
    if plan.own_answer:
        points = answered(points, logits_fn)
    return attack.Inputs(
        built,
        points,
        _budgets(built, points, logits_fn) if built.fixed_budget else None,
        [job.target for job in jobs] if built.targeted else None,
    )


def _budgets(attack: Attack, points, logits_fn) -> list[float]:
    """What brings each clip to the SNR.

    Where the gradient is zero, as in digital silence, a sign moves nothing: the rest
    moves further, as in the authors' code. Without any gradient nothing can move.
    """
    budgets = [eps_for_snr(p.x, snr_db=SNR_DB, norm=attack.norm) for p in points]
    if attack.norm == "l2":
        return [float(budget) for budget in budgets]
    still = zero_gradient_shares(
        logits_fn,
        np.stack([point.x for point in points]),
        np.asarray([point.label for point in points]),
    )
    moving = np.where(still < 1, 1 - still, 1.0)
    return [float(b / np.sqrt(m)) for b, m in zip(budgets, moving, strict=True)]


def answered(points: list[evaluation.Point], logits_fn) -> list[evaluation.Point]:
    """The points with the network's answers in place of their labels."""
    x = np.stack([point.x for point in points])
    answers = evaluation.logits_of_batch(logits_fn, x, batch_size=4).argmax(axis=1)
    pairs = zip(points, answers, strict=True)
    return [point._replace(label=int(answer)) for point, answer in pairs]
