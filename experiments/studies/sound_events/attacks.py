"""The attacks of the study of sound events, on whole clips of any length."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from advjax import catalog, evaluation
from advjax.attacks import ATTACKS, Attack, eps_for_snr
from advjax.attacks.checks import zero_gradient_shares
from advjax.attacks.dither import STEP_16_BITS
from advjax.types import LogitsFn
from experiments.lab import attack
from experiments.lab.clips import in_buckets, padded_wave
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.examples import inflated_snr_db, read
from experiments.studies.sound_events.jobs import ClipJob
from experiments.studies.sound_events.sizes import Size

SNR_DB = 20.0
"""Of white noise and FGSM: a ratio of 10 between the root mean squares (their code)."""


class Plan(NamedTuple):
    """One attack of the study.

    Attributes:
        title: its name in tables.
        text: a choice from `ATTACKS`; "*{n}" multiplies by the samples of a clip, and
            "{chance}" is one over the number of classes.
        own_answer: whether it changes the network's prediction, right or wrong.
    """

    title: str
    text: str
    own_answer: bool = False

    @property
    def targeted(self) -> bool:
        """True if it has a class to reach."""
        return "targeted=True" in self.text

    def among(self, num_classes: int) -> "Plan":
        """The attack on networks of so many classes."""
        return self._replace(
            text=self.text.replace("{chance}", f"{1 / num_classes:.3g}")
        )


def plans(size: Size, select: str) -> dict[str, Plan]:
    """The publication's attacks with the constants of its authors' code.

    Their 200 iterations of DeepFool, 0.0244 = 1/41, 0.975, kappa 500, c 0.01 and 0.1
    are in `attacks/*.py` of VinodS7/audio-adversaries.

    Without a target C&W leaves a label below chance, 1/41 with their classes, and one
    over the number of classes with others.

    Differs: an attack sees the logarithm of the mean probabilities of all chunks, where
    theirs add up the losses of chunks (C&W and FGSM) or average their tangents
    (DeepFool), and take the averages of a dense network's heads for logits. The squared
    distance of C&W is a sum, theirs a mean: c is multiplied by the samples, and grows
    tenfold after a failure, where theirs stays. Adam's rate is theirs, 1e-5, times
    1,000 over the steps taken, so that a search reaches as far. The second search goes
    on from the end of the first, so that two of 1,000 steps also stand for the one of
    2,000 that theirs has for the dense networks with a target. L-BFGS has as many steps
    for all. DeepFool and L-BFGS begin digital silence at noise of one step of 16 bits:
    levels of kapre have no gradient there that a step can follow. Noise and FGSM stay
    within [-1, 1].
    """
    rate = 1e-5 * 1000 / size.steps
    wagner = (
        f"num_searches={size.searches},num_steps={size.steps},"
        f"learning_rate={rate:g},initial_c=0.01*{{n}},confidence=500.0"
    )
    dither = f"dither={STEP_16_BITS:.6g}"
    return {
        "noise": Plan("white noise", "noise"),
        "fgsm": Plan("FGSM", "fgsm"),
        "deepfool": Plan(
            "DeepFool",
            f"deepfool(max_steps=200,num_candidates=None,select='{select}',{dither})",
            own_answer=True,
        ),
        "carlini_wagner": Plan(
            "C&W", f"carlini_wagner({wagner},probability={{chance}})"
        ),
        "carlini_wagner_targeted": Plan(
            "C&W targeted",
            f"carlini_wagner({wagner},probability=0.975,targeted=True)",
        ),
        "lbfgs_targeted": Plan(
            "L-BFGS targeted",
            f"lbfgs(num_searches={size.searches},num_steps={size.lbfgs_steps},"
            f"initial_c=0.1,{dither},targeted=True)",
        ),
    }


def build(plan: Plan) -> Attack:
    """The attack, on clips of any length."""
    # Runs of all versions have the first spelling.
    return catalog.pick(plan.text.replace("*{n}", ",mean_square=True"), ATTACKS)


@dataclasses.dataclass(frozen=True)
class AttackClips(Step):
    """One attack on whole clips of any length.

    Attributes:
        plan: the attack.
        num_slots: clips attacked at once.
    """

    plan: Plan
    num_slots: int

    def run(self, job: Job) -> dict[str, Any]:
        """Attack the clips that have no row; measure the SNR of targeted examples."""
        system = job.resolve()
        plan = self.plan.among(len(system.sounds.labels))
        clips = system.targeted if plan.targeted else system.untargeted
        logits_fn, built = system.classifier.logits_fn("waveform"), build(plan)
        prepared = attack.Prepared(
            folder=job.folder,
            settings={
                "corpus": system.sounds.name,
                "classifier": system.classifier.digest(),
                "attack": plan.text,
                "leaves": "own answer" if plan.own_answer else "label",
                "snr_db": SNR_DB,
                "jobs": [each.id for each in clips],
            },
            environment=job.environment,
            title=job.cell.path,
            logits_fn=logits_fn,
            batches=[
                attack.Batch(
                    [each.id for each in group],
                    functools.partial(
                        _inputs, built, group, pad_to, logits_fn, plan.own_answer
                    ),
                )
                for pad_to, group in in_buckets(
                    ((each.sound, each) for each in clips),
                    padded=None if built.any_length else False,
                )
            ],
            key=jax.random.key(system.task.seed),
            num_slots=self.num_slots,
            mixed=True,
        )
        attack.run(prepared)
        return (
            {"inflated_snr_db": _inflated(job.folder, clips)} if plan.targeted else {}
        )


def _inflated(folder: pathlib.Path, clips: Sequence[ClipJob]) -> float | None:
    """The mean inflated SNR of the examples that succeed; None if none does."""
    clean = {each.id: padded_wave(each.sound.audio) for each in clips}
    run = read(folder)
    found = [inflated_snr_db(clean[id], run.wave(id)) for id in run.ids]
    return float(np.mean(found)) if found else None


def _inputs(
    built: Attack,
    jobs: Sequence[ClipJob],
    pad_to: int | None,
    logits_fn: LogitsFn,
    own_answer: bool,
) -> attack.Inputs:
    """Clips of one program, and the attack on them."""
    points = [job.point(pad_to) for job in jobs]
    if own_answer:
        points = answered(points, logits_fn)
    return attack.Inputs(
        built,
        points,
        _budgets(built, points, logits_fn) if built.fixed_budget else None,
        [job.target for job in jobs] if built.targeted else None,
    )


def _budgets(attack: Attack, points, logits_fn) -> list[float]:
    """The norms that bring each clip to `SNR_DB`.

    Where the gradient is zero, as in digital silence, a sign moves nothing: the other
    samples move further, as in the authors' code.
    """
    budgets = [eps_for_snr(p.x, snr_db=SNR_DB, norm=attack.norm) for p in points]
    if attack.norm == "l2":
        return [float(budget) for budget in budgets]
    still = zero_gradient_shares(
        logits_fn,
        evaluation.stacked(points),
        np.asarray([point.label for point in points]),
    )
    moving = np.where(still < 1, 1 - still, 1.0)
    return [float(b / np.sqrt(m)) for b, m in zip(budgets, moving, strict=True)]


def answered(points: list[evaluation.Point], logits_fn) -> list[evaluation.Point]:
    """The points with the network's predictions in place of their labels."""
    x = evaluation.stacked(points)
    answers = evaluation.logits_of_batch(logits_fn, x, batch_size=4).argmax(axis=1)
    pairs = zip(points, answers, strict=True)
    return [point._replace(label=int(answer)) for point, answer in pairs]
