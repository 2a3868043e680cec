"""The request of a certification run, its settings, and both in words."""

import importlib.metadata
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax import catalog, smoothing
from advjax.reports.tables import PUBLICATION_RADII
from advjax.representations import Representation, definition
from advjax.representations.lipschitz import lipschitz_bound
from experiments.lab import noises
from experiments.lab.task import System

_OCTAVES_HZ = (125, 250, 500, 1000, 2000, 4000)


class Certification(NamedTuple):
    """Settings of a certification.

    Attributes:
        num_selection: votes that choose the class (n0).
        num_estimation: fresh votes that bound its probability (n).
        alpha: failure probability of each certificate.
        radii: of the table, and those that a bound that stops early tests.
        tile: noisy copies of a point evaluated at once; None for what fits the bound,
            the backend and the memory.
        bound: a name in `smoothing.BOUNDS`.
        profile: a folder for a trace of some dispatches in the steady state.
    """

    num_selection: int
    num_estimation: int
    alpha: float = 1e-3
    radii: Sequence[float] = PUBLICATION_RADII
    tile: int | None = None
    bound: str = smoothing.ClopperPearson.name
    profile: pathlib.Path | None = None

    @property
    def plan(self) -> smoothing.VotePlan:
        """The votes of each point, and the bound that they give."""
        bound = catalog.pick(self.bound, smoothing.BOUNDS, radii=tuple(self.radii))
        return smoothing.VotePlan(
            self.num_selection, self.num_estimation, self.alpha, bound
        )


def settings(
    system: System,
    request: Certification,
    placement: smoothing.Placement,
    reach: smoothing.Reach,
    num_points: int,
) -> dict[str, Any]:
    """The settings of the run, as JSON values; a run with others is another one."""
    task, plan = system.task, request.plan
    return {
        "corpus": system.data.info.name,
        "records": system.data.digest(),
        "classifier": system.classifier.digest(),
        "noise_enters_at": system.stage.name,
        "representation": definition(system.representation),
        "noise": {
            "law": task.noise,
            "sigma": task.sigma,
            "norm": system.noise.norm,
            **_tone_db(system),
        },
        "gain_policy": "none: the clip is stored, not scaled before or after noise",
        "clip_policy": "none: noisy inputs are not clipped to the range of the stage",
        "num_selection": plan.num_selection,
        "num_estimation": plan.num_estimation,
        "alpha": plan.alpha,
        "bound": plan.bound.name,
        "tile": placement.tile,
        "precision": task.precision,
        **({} if task.engine == "jax" else {"engine": task.engine}),
        "num_points": num_points,
        "seed": task.seed,
        "defence": system.defence,
        "cap": reach.max_radius,
        **noises.beyond_full_scale(
            task.noise, system.data, sigma=task.sigma, num_points=num_points
        ),
        "radius_wave": waveform_bound(system.stage, system.noise)[1],
        **plan.bound.settings(system.noise, plan, placement),
    }


def origin(system: System) -> dict[str, Any]:
    """The origin of the classifier and its data, for the environment of a run."""
    task = system.task
    return {
        "corpus_options": task.corpus if task.records_folder is None else None,
        "corpus_dir": task.corpus_dir,
        "records_dir": str(system.data.folder),
        "classifier_dir": str(system.folder),
        "model": task.model if task.classifier_folder is None else None,
        "weights": system.weights,
        **_engine(task.engine),
        "num_classes": len(system.data.labels),
        "num_test_clips": len(system.data.test),
    }


def _engine(name: str) -> dict[str, str]:
    """The version of the engine; runs of JAX name theirs elsewhere."""
    return {} if name == "jax" else {name: importlib.metadata.version(name)}


def waveform_bound(stage: Representation, noise: smoothing.Noise) -> tuple[float, str]:
    """The most that a stage moves for 1 at the waveform, and a sentence on it.

    NaN if no such bound is known; the sentence is the reason then.
    """
    if noise.norm != "l2":
        return math.nan, f"radii are not carried back: {noise.norm}, not l2"
    try:
        bound = lipschitz_bound(stage)
    except ValueError as error:
        return math.nan, str(error)
    return bound, f"a radius here, divided by {bound:.6g}, is one at the waveform"


def _tone_db(system: System) -> dict[str, dict[str, float]]:
    """Certified levels of tones of a radius of 1, 0 dB, under coloured noise."""
    if (gains := smoothing.gains_of(system.noise)) is None:
        return {}
    root = system.representation.chain()[0]
    places = np.array(_OCTAVES_HZ) * root.num_samples // root.sample_rate_hz
    levels = smoothing.tone_radius_db(1.0, gains)[places]
    tones = zip(_OCTAVES_HZ, levels.tolist(), strict=True)
    return {"tone_db": {str(hz): round(db, 2) for hz, db in tones}}


def lines(
    request: Certification, reach: smoothing.Reach, settings: Mapping[str, Any]
) -> Iterator[str]:
    """The reach and the meaning of the run's certificates, in sentences."""
    n = request.num_estimation
    yield (
        f"Largest radius possible with n = {n:,}: {reach.max_radius:.3f}. A clip needs "
        f"{reach.votes_needed:,} of {n:,} votes."
    )
    asked = tuple(request.radii) != PUBLICATION_RADII
    beyond = [r for r in reach.radii if asked and r.votes_needed is None]
    if beyond:
        needs = ", ".join(f"{r.radius:g} ({_least_n(r)})" for r in beyond)
        yield f"Radii out of reach: {needs}."
    stage, norm = settings["noise_enters_at"], settings["noise"]["norm"]
    if norm != "l2":
        yield f"Radii are {norm} norms at {stage}."
    elif stage == "waveform":
        pass
    elif settings["radius_wave"].startswith("a radius here"):
        yield f"{settings['radius_wave'].capitalize()}."
    else:
        # Its first clause; run.json has the whole sentence.
        reason = re.split("[,.]", settings["radius_wave"].partition(": ")[2])[0]
        yield (
            f"No radius at the waveform ({reason}). For one: --rep=waveform or "
            "--rep=magnitude."
        )
    yield from noises.caveats(settings)


def _least_n(radius: smoothing.RadiusNeeds) -> str:
    most = radius.num_estimation
    return "for any n" if most is None or most > 10**9 else f"n >= {most:,}"
