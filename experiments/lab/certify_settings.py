"""The request of a certification run, its settings, and both in words."""

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax import catalog, smoothing
from advjax.reports.tables import PUBLICATION_RADII
from advjax.representations import Representation, definition
from advjax.representations.lipschitz import lipschitz_bound
from experiments.lab import noise_laws
from experiments.lab.task import System

_OCTAVES_HZ = (125, 250, 500, 1000, 2000, 4000)


class Certification(NamedTuple):
    """Settings of a certification."""

    num_selection: int
    num_estimation: int
    alpha: float = 1e-3
    radii: Sequence[float] = PUBLICATION_RADII
    precision: str = "float32"
    tile: int | None = None
    """Noisy copies of a point evaluated at once; None for what fits the bound, the
    backend and the memory."""
    bound: str = smoothing.ClopperPearson.name
    """A name in `smoothing.BOUNDS`."""
    profile: pathlib.Path | None = None
    """A folder for a trace of some dispatches in the steady state."""

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
    """The settings of the run, as JSON values; a run with others is another one.

    Args:
        system: the classifier and its data.
        request: how it is certified.
        placement: the layout of the votes.
        reach: what its plan can certify.
        num_points: the points of the run.
    """
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
        "precision": request.precision,
        "num_points": num_points,
        "seed": task.seed,
        "defence": system.defence,
        "cap": reach.max_radius,
        **noise_laws.beyond_full_scale(
            task.noise, system.data, sigma=task.sigma, num_points=num_points
        ),
        "radius_wave": waveform_bound(system.stage, system.noise)[1],
        **plan.bound.settings(system.noise, plan, placement),
    }


def waveform_bound(stage: Representation, noise: smoothing.Noise) -> tuple[float, str]:
    """The most that a stage moves for 1 at the waveform, and that in words.

    NaN where no such bound is known; the words are the reason then.
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
    system: System,
    request: Certification,
    reach: smoothing.Reach,
    settings: Mapping[str, Any],
) -> Iterator[str]:
    """The reach and the meaning of the run's certificates, in sentences."""
    task = system.task
    yield (
        f"{task.noise} noise {task.sigma:g} at {system.stage.name}, {request.plan}: "
        f"radii up to {reach.max_radius:.3f}; "
        f"{reach.votes_needed} equal votes or it abstains"
    )
    if beyond := [r for r in reach.radii if r.votes_needed is None]:
        needs = ", ".join(f"{r.radius:g} ({_least_n(r)})" for r in beyond)
        yield f"out of reach: radius {needs}"
    yield settings["radius_wave"]
    yield from noise_laws.caveats(settings)


def _least_n(radius: smoothing.RadiusNeeds) -> str:
    most = radius.num_estimation
    return "no n would do" if most is None or most > 10**9 else f"n >= {most:,}"
