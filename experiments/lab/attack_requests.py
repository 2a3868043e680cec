"""Requests of attacks: an attack by its text, and the classes to reach."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from advjax import catalog, evaluation
from advjax.attacks import ATTACKS, Attack
from advjax.interop.black_box import no_gradients
from advjax.representations import Waveform
from advjax.types import LogitsFn
from experiments.lab.task import Draft, System

TARGETS = ("next", "random", "least_likely")
"""Targets that depend on the clip."""


class AttackRequest(NamedTuple):
    """One attack at one budget.

    Attributes:
        attack: a choice from `ATTACKS`, with options.
        budget: "20dB" (of SNR), "-40dBFS", or a norm; None for attacks that look for
            the smallest perturbation.
        target: the class to reach, for targeted attacks: one of `TARGETS`, or the name
            of a class.
        num_slots: examples attacked at once; None for the backend's default.
        finish: "pcm16" to make successes hold in files of 16 bits, or None.
    """

    attack: str
    budget: str | None = None
    target: str = "random"
    num_slots: int | None = None
    finish: str | None = None


def build(task: System | Draft, text: str) -> Attack:
    """The attack that `text` names, with the bounds of the task's stage.

    An attack on waveforms gets their sample rate. One that starts from clips of other
    classes gets the first training clip of each; of a draft, zeros in their place.

    Raises:
        ValueError: an unknown attack or option, an attack on waveforms elsewhere, one
            that needs gradients of a black box, one that needs training clips where
            there are none, or a task of another engine than JAX.
    """
    if (engine := task.task.engine) != "jax":
        raise ValueError(
            f"--engine={engine} certifies and has no gradients: leave it out, and give "
            "the classifier's folder in the place of a run that has it"
        )
    name, _ = catalog.parse(text)
    needed = _parameters(name)
    given: dict[str, Any] = {}
    if "starts" in needed:
        given["starts"] = _starts(task, name)
    if "sample_rate_hz" in needed:
        if not isinstance(task.stage, Waveform):
            raise ValueError(f"{name} perturbs waveforms: give --rep=waveform")
        given["sample_rate_hz"] = task.stage.sample_rate_hz
    built = catalog.pick(text, ATTACKS, bounds=task.stage.bounds, **given)
    classifier = task.given if isinstance(task, Draft) else task.classifier
    if classifier is not None and not (built.black_box or classifier.has_gradients):
        raise ValueError(f"--attack={text}: {no_gradients(classifier.name)}")
    return built


_LATER = ("mean_square",)
"""Options that settings of earlier runs lack: only other values are settings."""


def all_options(name: str) -> dict[str, Any]:
    """The defaults of an attack's options, but for the bounds, which the stage has."""
    return {
        p.name: p.default
        for p in inspect.signature(ATTACKS[name]).parameters.values()
        if p.default is not p.empty and p.name not in ("bounds", *_LATER)
    }


def _parameters(attack: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(ATTACKS[attack]).parameters if attack in ATTACKS else {}


def reachable(task: System | Draft, attack: str) -> tuple[str, ...]:
    """Names of the classes that a targeted attack may reach.

    An attack that starts from a clip of its target has those that clips have; others
    have all of the network.
    """
    given, clips = (
        (task.given, task.source) if isinstance(task, Draft)
        else (task.classifier, task.data)
    )  # fmt: skip
    if given is None or "starts" in _parameters(catalog.parse(attack)[0]):
        return clips.labels
    return given.labels


def targets(
    request: AttackRequest,
    system: System,
    logits_fn: LogitsFn,
    points: Sequence[evaluation.Point],
) -> list[int]:
    """The class to reach for each point.

    Raises:
        ValueError: no such target.
    """
    text, names = request.target, reachable(system, request.attack)
    labels, count = np.asarray([point.label for point in points]), len(names)
    if text == "next":
        shifts = 1
    elif text == "random":
        # From the id, as all randomness of a point: the same in every run.
        keys = [evaluation.example_key(jax.random.key(1), p.id) for p in points]
        shifts = [int(jax.random.randint(key, (), 1, count)) for key in keys]
    elif text == "least_likely":
        x = np.stack([point.x for point in points])
        logits = evaluation.logits_of_batch(logits_fn, x)
        return logits[:, :count].argmin(axis=1).tolist()
    elif text in names:
        return [names.index(text)] * len(points)
    else:
        raise ValueError(
            f"no target {text!r}: choose {', '.join(TARGETS)}, or a class such as "
            f"{names[0]}"
        )
    return ((labels + np.asarray(shifts)) % count).tolist()


def _starts(
    task: System | Draft, attack: str
) -> Float[np.ndarray, "classes *features"]:
    """The first training clip of each class that clips have."""
    if isinstance(task, Draft):
        if task.source.sizes.get("train", 0) < 1:
            raise ValueError(
                f"{attack} starts from a training clip of its target, and "
                f"{task.source.flag} has none: give training clips, or another attack"
            )
        shape = (len(task.source.labels), *task.stage.feature_shape)
        return np.zeros(shape, np.float32)
    source = task.data.split("train")
    wanted, found = len(task.data.labels), {}
    for index in range(len(source)):
        example = source[index]
        if example["label"] not in found:
            found[example["label"]] = evaluation.stage_features(
                task.stage, example["audio"]
            )
        if len(found) == wanted:
            break
    if missing := sorted(set(range(wanted)) - set(found)):
        raise ValueError(
            f"{attack} starts from a training clip of its target, and "
            f"{task.data.labels[missing[0]]} has none: give a training clip of each "
            "class, or another attack"
        )
    return np.stack([found[label] for label in range(wanted)])
