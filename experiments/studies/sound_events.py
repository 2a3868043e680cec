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

import dataclasses
import fnmatch
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from advjax.classifier import Classifier
from advjax.representations import LogMelChunks
from experiments import app, flags
from experiments.lab import trainers
from experiments.lab.clips import Clip
from experiments.lab.console import say
from experiments.studies import sound_event_report
from experiments.studies.grid_flags import parse_share, preset
from experiments.studies.sound_event_attacks import (
    CPU,
    PUBLICATION,
    SNR_DB,
    Size,
    plans,
    run_cell,
)
from experiments.studies.sound_event_figures import Study
from experiments.studies.sound_event_jobs import targeted_jobs, untargeted_jobs
from experiments.studies.sound_event_models import (
    KINDS,
    SAMPLE_RATE_HZ,
    load_sounds,
    training_of,
)

flags.declare(
    __name__,
    flags.CORPUS,
    flags.CORPUS_DIR,
    flags.NUM_STEPS,
    flags.BATCH_SIZE,
    flags.OUT,
    *flags.SOUND_FLAGS,
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


def main() -> None:
    """Train, attack, and report."""
    size = _chosen_size(preset({"small": CPU, "publication": PUBLICATION}))
    home = pathlib.Path(flags.HOME.value)
    out = pathlib.Path(flags.OUT.value or home / "studies/sound_events")
    names = _chosen_models()
    sounds = load_sounds(flags.CORPUS.value, flags.CORPUS_DIR.value or "", home)
    longest = size.max_seconds * SAMPLE_RATE_HZ
    every = sounds.splits[flags.ATTACKED.value]
    # As the publication: an attack takes the label for the truth.
    every = [s for s in every if s.verified and len(s.audio) <= longest]
    if not every:
        raise ValueError(
            f"--max_seconds={size.max_seconds:g}: no clip of {sounds.name} is as short "
            "and has a label that somebody has verified"
        )
    untargeted = untargeted_jobs(every, size.num_clips)
    pair_classes = flags.PAIR_CLASSES.value or _first_classes(
        sounds.labels, every, size.num_pair_classes
    )
    targeted = targeted_jobs(every, sounds.labels, pair_classes, size.clips_per_class)
    wanted = plans(size, flags.SELECT.value)
    cells = [
        (name, attack)
        for name in names
        for attack in wanted
        if fnmatch.fnmatch(f"{name}/{attack}", flags.CELLS.value)
    ]
    if not cells:
        raise ValueError(
            f"--cells={flags.CELLS.value!r} matches no cell; they are called like "
            f"{names[0]}/deepfool"
        )
    environment = app.environment()

    def classifier_of(name: str) -> Classifier:
        training = training_of(
            name,
            sounds,
            home,
            width_share=size.width_share,
            recipe=size.recipe,
            trim=flags.REMOVE_SILENCE.value,
            seed=flags.SEED.value,
        )
        return trainers.find_or_train(training)

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
            settings=_settings(wanted[attack], classifiers[name], sounds, jobs),
            environment=environment,
            num_slots=size.num_slots,
            seed=flags.SEED.value,
        )
    if flags.SHARE.value != "0/1":
        say("this share is done; a start without --share writes the report")
        return
    study = Study(
        out=out,
        sounds=sounds,
        attacked=flags.ATTACKED.value,
        untargeted=untargeted,
        targeted=targeted,
        pair_classes=tuple(pair_classes),
        titles={name: plan.title for name, plan in wanted.items()},
        load=functools.cache(lambda name: classifiers.get(name) or classifier_of(name)),
        transforms=flags.TRANSFORMS.value,
        features=[name for name in flags.FEATURE_LEVEL.value if name in names],
    )
    sound_event_report.write(study)
    print((out / "study.md").read_text(encoding="utf-8"))


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
    models = flags.MODELS.value or list(KINDS)
    if unknown := [name for name in models if name not in KINDS]:
        raise ValueError(
            f"--models: no {', '.join(unknown)}; there are: {', '.join(KINDS)}"
        )
    index, count = parse_share(flags.SHARE.value)
    names = models[index::count]
    if not names:
        raise ValueError(
            f"--share={flags.SHARE.value} of --models={','.join(models)} leaves no "
            "network: name more, or share among fewer starts"
        )
    for name in flags.FEATURE_LEVEL.value:
        if name not in KINDS or not isinstance(KINDS[name].front_end, LogMelChunks):
            known = [n for n, kind in KINDS.items() if kind.front_end == LogMelChunks()]
            raise ValueError(
                f"--feature_level: {name!r} is no network on log-mels; these are: "
                f"{', '.join(known)}"
            )
    return names


def _first_classes(
    labels: Sequence[str], sounds: Sequence[Clip], count: int
) -> list[str]:
    present = sorted({sound.label for sound in sounds})
    return [labels[label] for label in present[:count]]


def _chosen_size(size: Size) -> Size:
    steps, batch = flags.NUM_STEPS.value, flags.BATCH_SIZE.value
    recipe = size.recipe
    if steps:
        # As many cuts of the rate, however long the training is.
        every = max(1, recipe.decay_every * steps // recipe.num_steps)
        recipe = dataclasses.replace(recipe, num_steps=steps, decay_every=every)
    if batch:
        recipe = dataclasses.replace(recipe, batch_size=batch)
    return size._replace(
        recipe=recipe,
        num_clips=flags.NUM_POINTS.value or size.num_clips,
        max_seconds=flags.MAX_SECONDS.value or size.max_seconds,
        width_share=flags.WIDTH_SHARE.value or size.width_share,
        steps=flags.CW_STEPS.value or size.steps,
    )


if __name__ == "__main__":
    app.run(main)
