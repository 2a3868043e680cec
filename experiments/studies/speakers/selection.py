"""Settings of defences, chosen on validation crops alone.

Each candidate trains a network at mel energies. A few votes on each validation crop
estimate its average certified radius there; the setting with the largest one is chosen.
No test crop is read.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from advjax import evaluation, smoothing
from advjax.metrics.bootstrap import percentile_interval, resampled_weights
from advjax.records import spread
from advjax.reports.tables import Table
from advjax.runtime.progress import Progress
from experiments.lab import cell_files, vote_placement
from experiments.lab.caveats import recording_of
from experiments.lab.cells import Cell
from experiments.lab.certify_settings import Certification
from experiments.lab.grid import Job, Step


class Candidate(NamedTuple):
    """A setting of a defence.

    Attributes:
        text: a choice from `DEFENCES`, with options.
        source: of the setting.
    """

    text: str
    source: str


_JEONG = "Jeong and Shin 2020: their code's results on CIFAR-10 have 5, 10 and 20"
_SALMAN = "Salman et al. 2019: radii of the attack of their CIFAR-10 networks"
CANDIDATES: Mapping[str, Sequence[Candidate]] = {
    "consistency": (
        Candidate("consistency(lbd=2.0)", "ours: for a short training"),
        Candidate("consistency(lbd=5.0)", _JEONG),
        Candidate("consistency(lbd=10.0)", _JEONG),
        Candidate("consistency(lbd=20.0)", _JEONG),
    ),
    "macer": (
        Candidate("macer(num_noises=2, lbd=1.0)", "ours: for a short training"),
        Candidate(
            "macer(num_noises=2, lbd=4.0)",
            "Jeong and Shin 2020: lambda of their MACER at sigma 0.5, CIFAR-10",
        ),
        Candidate(
            "macer(num_noises=2, lbd=12.0)", "Zhai et al. 2020: lambda of their code"
        ),
        Candidate(
            "macer(num_noises=8, lbd=4.0)",
            "half of the 16 copies of Zhai et al. 2020, the largest that a CPU bears",
        ),
    ),
    "smooth_adv": tuple(
        Candidate(f"smooth_adv(eps={eps}, num_steps=2, num_noises=1)", _SALMAN)
        for eps in (0.25, 0.5, 1.0, 2.0)
    ),
}
"""By defence, at most four each."""
BASELINE = Candidate("gaussian", "for comparison")
STAGE = "mfbe"
NUM_VOTES = 200
_KEY = 4  # attacks and votes of the study have the keys below


def cells() -> list[Cell]:
    """A cell for each candidate, and one of the baseline."""
    named = {"selection/gaussian": BASELINE}
    for defence, every in CANDIDATES.items():
        for number, candidate in enumerate(every, 1):
            named[_path(defence, number)] = candidate
    return [
        Cell(path, (("stage", STAGE), ("training", each.text), ("on", "validation")))
        for path, each in named.items()
    ]


def _path(defence: str, number: int) -> str:
    return f"selection/{defence}/{number}"


@dataclasses.dataclass(frozen=True)
class EstimateRadii(Step):
    """The certified radius of validation crops, estimated by few votes each.

    Attributes:
        certification: whose largest radius is that of the estimates.
        num_points: at most so many validation crops, spread over the split.
        num_votes: of each crop.
    """

    certification: Certification
    num_points: int
    num_votes: int = NUM_VOTES

    def run(self, job: Job) -> Mapping[str, Any]:
        """Return the recording and the estimated radius of each crop."""
        system = job.resolve()
        source = system.data.split("validation")
        places = spread(len(source), min(self.num_points, len(source)))
        points = system.data.points(system.stage, places, source)
        logits_fn, noise = system.logits_fn(), system.noise
        cap = smoothing.reach(noise, self.certification.plan).max_radius
        key = jax.random.fold_in(jax.random.key(system.task.seed), _KEY)
        mesh = vote_placement.mesh_for(system.classifier, system.task.engine)
        count = functools.partial(
            smoothing.count_votes, logits_fn, noise=noise, num_samples=self.num_votes
        )
        placement, recordings, radii = None, [], []
        with Progress(job.cell.path, total=len(places), unit="clips") as line:
            for point in points:
                placement = placement or vote_placement.fit(
                    mesh, logits_fn, point, noise, self.certification
                )
                votes = count(
                    point.x, evaluation.example_key(key, point.id), placement=placement
                )[point.label]
                recordings.append(recording_of(point.id))
                radii.append(estimated_radius(int(votes), self.num_votes, noise, cap))
                line.advance()
        return {"recordings": recordings, "validation_radii": radii}


def estimated_radius(
    votes: int, num_votes: int, noise: smoothing.Noise, cap: float
) -> float:
    """The radius at the posterior mean of the label's probability, at most `cap`.

    The prior is Jeffreys': half a vote for the label and half a vote against it. It is
    an estimate and no certificate, whose bound would end far below `cap` at so few
    votes.

    Args:
        votes: for the label.
        num_votes: of the crop.
        noise: the noise distribution.
        cap: the largest radius that the study certifies.
    """
    p = (votes + 0.5) / (num_votes + 1)
    return min(cap, float(noise.radius(p))) if p > 0.5 else 0.0


def validation_acr(out: pathlib.Path, path: str) -> float | None:
    """The average radius of a finished cell of `cells`; None of another one."""
    radii = cell_files.results(out / "cells" / path).get("validation_radii")
    return radii and float(np.mean(radii))


def chosen(out: pathlib.Path, defence: str) -> str | None:
    """The setting of the largest average radius, the first one of equals.

    Args:
        out: the folder of the study.
        defence: a name in `CANDIDATES`.

    Returns:
        The candidate's text; None before all candidates are finished.
    """
    every = CANDIDATES[defence]
    found = [validation_acr(out, _path(defence, n + 1)) for n in range(len(every))]
    if None in found:
        return None
    return every[int(np.argmax(found))].text


@dataclasses.dataclass(frozen=True)
class Chosen(Step):
    """A step on the network with the setting that was chosen for a defence.

    Attributes:
        step: the step.
        defence: a name in `CANDIDATES`.
    """

    step: Step
    defence: str

    def given(self, job: Job) -> str | None:
        """The chosen setting; another one runs the step again."""
        return chosen(job.out, self.defence)

    def run(self, job: Job) -> Mapping[str, Any] | None:
        """Run the step.

        Raises:
            ValueError: the candidates are not finished.
        """
        setting = self.given(job)
        if setting is None:
            raise ValueError(
                f"{job.cell.path} needs the setting of {self.defence}, which is not "
                f"chosen yet: run the cells selection/{self.defence}/* first"
            )
        task = dataclasses.replace(job.task, defence=setting)
        return self.step.run(job.on(task))


def table(out: pathlib.Path) -> Table:
    """A line for each finished candidate: its radius on validation crops, the choice.

    Args:
        out: the folder of the study.
    """
    lines, counts = [], set()
    listed = [(BASELINE, "selection/gaussian", None)] + [
        (each, _path(defence, number), chosen(out, defence))
        for defence, every in CANDIDATES.items()
        for number, each in enumerate(every, 1)
    ]
    for candidate, path, choice in listed:
        results = cell_files.results(out / "cells" / path)
        radii = np.asarray(results.get("validation_radii") or [])
        if not len(radii):
            continue
        counts.add(len(radii))
        low, high = percentile_interval(
            resampled_weights(results["recordings"]) @ radii
        )
        mark = "chosen" if candidate.text == choice else ""
        acr = f"{radii.mean():.4f} [{low:.3f}, {high:.3f}]"
        lines.append([candidate.text, acr, mark, candidate.source])
    crops = " or ".join(map(str, sorted(counts)))
    return Table(
        ["setting", "validation ACR", "choice", "source"],
        lines,
        [
            f"validation ACR: average certified radius at {STAGE}, estimated by "
            f"{NUM_VOTES} votes on each of {crops} validation crops, which also chose "
            "the best step of each training; chosen: the largest of a defence",
            "in brackets: 95 % interval, by bootstrap over recordings",
        ],
    )
