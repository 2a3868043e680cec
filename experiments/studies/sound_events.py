"""Adversarial attacks on sound event classifiers: Subramanian et al. (2019).

  python -m experiments.studies.sound_events \\
      --corpus=fsdkaggle2018 --corpus_dir=FSDKaggle2018 --out=results

Trains VGG13, CRNN, GCNN, dense-mel, dense-wav (reconstructed) and, as the publication
proposes, VGG13 on constant-Q levels; perturbs whole clips of any length as waveforms,
through each network's own front end:

  untargeted  white noise and FGSM at 20 dB SNR, DeepFool, Carlini-Wagner
  targeted    Carlini-Wagner and L-BFGS, over all ordered pairs of --pair_classes

and writes study.md with the publication's five tables and what is known of its own
entries, how often examples transfer and survive compression, resampling, noise and
rooms (--transforms), labels.png, targeted.png, spectrograms.png, and WAVs of one
example for each network. After a kill the same command goes on inside of the cell it
was in; cells are called model/attack, and --cells="vgg13/*" runs a part of them.
--share=0/2 and --share=1/2 share the networks among two starts with one --out; a start
afterwards writes the report.

At CPU size (a quarter of the channels, 20 clips, Carlini-Wagner with 2 x 200 steps) the
default grid takes about two hours on two cores. That of the publication, for an
accelerator: --preset=publication.
"""

import fnmatch
import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from advjax import catalog, evaluation
from advjax.attacks import ATTACKS, Attack, eps_for_snr
from advjax.attacks.checks import zero_gradient_shares
from advjax.classifier import Classifier
from advjax.progress import Progress
from advjax.reports import attack_rows, runs
from advjax.training import Recipe
from experiments import app, pipeline
from experiments.studies import sound_event_report
from experiments.studies.sound_event_jobs import (
    Job,
    buckets,
    file_name,
    point_of,
    targeted_jobs,
    untargeted_jobs,
)
from experiments.studies.sound_event_models import (
    KINDS,
    SAMPLE_RATE_HZ,
    Sounds,
    load_sounds,
    trained,
)

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
        targeted_steps: of Carlini-Wagner with a target.
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
    targeted_steps: int
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
    targeted_steps=400,
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
    targeted_steps=2000,
    lbfgs_steps=200,
    num_slots=32,
)

_MODELS = flags.DEFINE_list(
    "models", list(KINDS), f"Networks to attack, of {', '.join(KINDS)}."
)
_CLIPS = flags.DEFINE_integer(
    "clips", None, "Clips attacked without a target; default 20 on CPU, 246."
)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds",
    None,
    "Longer clips are not attacked: every two seconds more are a program to compile. "
    "Default 4 on CPU, 30.",
)
_ATTACKED = flags.DEFINE_enum(
    "attacked",
    "train",
    ["train", "test"],
    "Where attacked clips are from: the publication takes training clips.",
)
_PAIR_CLASSES = flags.DEFINE_list(
    "pair_classes",
    None,
    "Classes between which targeted attacks lead, each to each; default: the first few "
    "with clips that all networks know.",
)
_SELECT = flags.DEFINE_enum(
    "select",
    "min",
    ["min", "max"],
    "Which boundary DeepFool moves to: the nearest (the paper) or the farthest (what "
    "the authors' code does).",
)
_TRIM = flags.DEFINE_bool(
    "remove_silence", True, "Remove silence from training clips, as Iqbal et al."
)
_TRANSFORMS = flags.DEFINE_bool(
    "transforms", True, "Measure which examples survive compression, noise and rooms."
)
_FEATURES = flags.DEFINE_list(
    "feature_level",
    ["vgg13"],
    "Networks on log-mels that are also attacked there, and played by Griffin-Lim.",
)
_WIDTH = flags.DEFINE_float("width_share", None, "Of the published channels.")
_CW_STEPS = flags.DEFINE_integer(
    "cw_steps", None, "Carlini-Wagner's, in one search; twice as many with a target."
)
_CELLS = flags.DEFINE_string("cells", "*", "Which cells to run; wildcards.")
_SHARE = flags.DEFINE_string(
    "share", "0/1", "I/N: every N-th network, from the I-th one on."
)
_PRESET = flags.DEFINE_enum(
    "preset", None, ["publication"], "The publication's sizes, whatever the machine."
)
app.declare_key(
    app.CORPUS, app.CORPUS_DIR, app.NUM_STEPS, app.BATCH_SIZE, app.OUT, *app.RUN_FLAGS
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

    Their squared distance is a mean, ours a sum: c is multiplied by the samples. Their
    200 iterations of DeepFool, 0.0244 = 1/41, 0.975, kappa 500, c 0.01 and 0.1 are in
    `attacks/*.py` of VinodS7/audio-adversaries. Adam's rate is theirs, 1e-5, times
    1,000 over the steps taken, so that a search reaches as far. With a target it takes
    twice the steps, as theirs does for the dense networks.
    """
    rate = 1e-5 * 1000 / size.steps
    wagner = (
        f"num_searches={size.searches},num_steps={{steps}},learning_rate={rate:g},"
        "initial_c=0.01*{n},confidence=500.0"
    )
    untargeted = wagner.replace("{steps}", str(size.steps))
    targeted = wagner.replace("{steps}", str(size.targeted_steps))
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
    kept: pathlib.Path,
    *,
    settings: Mapping[str, Any],
    environment: Mapping[str, Any],
    num_slots: int,
) -> None:
    """Nothing; attacks what has no row in `folder` yet.

    Args:
        plan: the attack.
        classifier: whom.
        jobs: which clips.
        folder: of the rows.
        kept: a folder for the adversarial waves, as one file for each job.
        settings: what decides the rows.
        environment: where they come from.
        num_slots: clips attacked at once.
    """
    kept.mkdir(parents=True, exist_ok=True)
    logits_fn = classifier.logits_fn("waveform")
    title = f"{folder.parent.name}/{folder.name}"
    with (
        runs.open_run(
            folder,
            settings=settings,
            environment=environment,
            row_format=attack_rows.ATTACKED,
        ) as run,
        Progress(
            title,
            total=len(jobs),
            unit="clips",
            done=sum(job.id in run.done for job in jobs),
        ) as line,
    ):
        for bucket in buckets(jobs):
            left = [job for job in bucket.jobs if job.id not in run.done]
            if not left:
                continue
            attack = build(plan, bucket.num_samples)
            points = [point_of(job) for job in left]
            if plan.own_answer:
                points = _answered(points, logits_fn)
            budgets = (
                _budgets(attack, points, logits_fn) if attack.fixed_budget else None
            )
            for found in evaluation.attack_points(
                attack,
                logits_fn,
                points,
                jax.random.key(0),
                budgets=budgets,
                targets=[job.target for job in left] if attack.targeted else None,
                num_slots=num_slots,
                on_round=lambda: line.advance(0),
            ):
                np.save(kept / f"{file_name(found.row.id)}.npy", found.x_adv)
                run.append(found.row)
                line.advance()


def _budgets(attack: Attack, points, logits_fn) -> list[float]:
    """What brings each clip to the SNR.

    Where the gradient is zero, as in digital silence, a sign moves nothing: the rest
    moves further, as in the authors' code.
    """
    budgets = [eps_for_snr(p.x, snr_db=SNR_DB, norm=attack.norm) for p in points]
    if attack.norm == "l2":
        return [float(budget) for budget in budgets]
    still = zero_gradient_shares(
        logits_fn,
        np.stack([point.x for point in points]),
        np.asarray([point.label for point in points]),
    )
    return [float(b / np.sqrt(1 - s)) for b, s in zip(budgets, still, strict=True)]


def _answered(points: list[evaluation.Point], logits_fn) -> list[evaluation.Point]:
    """The points with the network's answers in place of their labels."""
    x = np.stack([point.x for point in points])
    answers = evaluation.logits_of_batch(logits_fn, x, batch_size=4).argmax(axis=1)
    pairs = zip(points, answers, strict=True)
    return [point._replace(label=int(answer)) for point, answer in pairs]


def main() -> None:
    """Train, attack, and report."""
    publication = _PRESET.value or jax.default_backend() != "cpu"
    size = _chosen_size(PUBLICATION if publication else CPU)
    home = pathlib.Path(app.HOME.value)
    out = pathlib.Path(app.OUT.value or home / "studies/sound_events")
    names = _chosen_models()
    sounds = load_sounds(app.CORPUS.value, app.CORPUS_DIR.value or "", home)
    longest = size.max_seconds * SAMPLE_RATE_HZ
    every = sounds.splits[_ATTACKED.value]
    every = [sound for sound in every if len(sound.audio) <= longest]
    if not every:
        raise ValueError(
            f"--max_seconds={size.max_seconds:g}: no clip of {sounds.name} is as short"
        )
    untargeted = untargeted_jobs(every, size.num_clips)
    pair_classes = _PAIR_CLASSES.value or _first_classes(sounds, size.num_pair_classes)
    targeted = targeted_jobs(every, sounds.labels, pair_classes, size.clips_per_class)
    wanted = plans(size, _SELECT.value)
    cells = [
        (name, attack)
        for name in names
        for attack in wanted
        if fnmatch.fnmatch(f"{name}/{attack}", _CELLS.value)
    ]
    if not cells:
        raise ValueError(
            f"--cells={_CELLS.value!r} matches no cell; they are called like "
            f"{names[0]}/deepfool"
        )
    environment = app.environment()
    classifier_of = functools.partial(
        trained,
        sounds=sounds,
        home=home,
        width_share=size.width_share,
        recipe=size.recipe,
        trim=_TRIM.value,
        seed=app.SEED.value,
    )
    classifiers: dict[str, Classifier] = {}
    for name, attack in cells:
        if name not in classifiers:
            # What was compiled for the network before serves no other.
            jax.clear_caches()
            classifiers[name] = classifier_of(name)
        jobs = targeted if "targeted" in attack else untargeted
        run_cell(
            wanted[attack],
            classifiers[name],
            jobs,
            out / "cells" / name / attack,
            home / "sound_events" / classifiers[name].digest() / attack,
            settings=_settings(wanted[attack], classifiers[name], sounds, jobs),
            environment=environment,
            num_slots=size.num_slots,
        )
    if _SHARE.value != "0/1":
        pipeline.say("this share is done; a start without --share writes the report")
        return
    study = sound_event_report.Study(
        out=out,
        home=home,
        sounds=sounds,
        attacked=_ATTACKED.value,
        untargeted=untargeted,
        targeted=targeted,
        pair_classes=tuple(pair_classes),
        titles={name: plan.title for name, plan in wanted.items()},
        load=classifier_of,
        transforms=_TRANSFORMS.value,
        features=[name for name in _FEATURES.value if name in names],
    )
    sound_event_report.write(study)
    print((out / "study.md").read_text())


def _settings(plan, classifier, sounds, jobs) -> dict[str, Any]:
    return {
        "corpus": sounds.name,
        "classifier": classifier.digest(),
        "attack": plan.text,
        "leaves": "own answer" if plan.own_answer else "label",
        "snr_db": SNR_DB,
        "jobs": [job.id for job in jobs],
    }


def _chosen_models() -> list[str]:
    if unknown := [name for name in _MODELS.value if name not in KINDS]:
        raise ValueError(
            f"--models: no {', '.join(unknown)}; there are: {', '.join(KINDS)}"
        )
    found = re.fullmatch(r"(\d+)/(\d+)", _SHARE.value)
    if not found or int(found[1]) >= int(found[2]):
        raise ValueError(f"--share={_SHARE.value}: write I/N with I from 0 to N - 1")
    return _MODELS.value[int(found[1]) :: int(found[2])]


def _first_classes(sounds: Sounds, count: int) -> list[str]:
    return list(sounds.labels[:count])


def _chosen_size(size: Size) -> Size:
    steps, batch = app.NUM_STEPS.value, app.BATCH_SIZE.value
    recipe = size.recipe
    if steps:
        # As many cuts of the rate, however long the training is.
        every = max(1, recipe.decay_every * steps // recipe.num_steps)
        recipe = recipe.__class__(
            **{**vars(recipe), "num_steps": steps, "decay_every": every}
        )
    if batch:
        recipe = recipe.__class__(**{**vars(recipe), "batch_size": batch})
    return size._replace(
        recipe=recipe,
        num_clips=_CLIPS.value or size.num_clips,
        max_seconds=_MAX_SECONDS.value or size.max_seconds,
        width_share=_WIDTH.value or size.width_share,
        steps=_CW_STEPS.value or size.steps,
        targeted_steps=2 * (_CW_STEPS.value or size.steps),
    )


if __name__ == "__main__":
    app.run(main)
