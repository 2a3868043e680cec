"""Certificates of speakers under attack, and better training for them.

  python -m experiments.studies.defended_speakers \\
      --corpus=librispeech --corpus_dir=LibriSpeech --out=results

A cell is a stage and a training: mfbe, magnitude and the waveform, each with networks
trained plainly, on Gaussian noise, and for larger radii. A smoothed cell is certified,
then attacked: PGD on the mean over noise, judged by the smoothed classifier's vote. The
plain network is attacked without smoothing. The cells `heuristics/*` put MP3,
resampling, white noise, reverberation (Subramanian et al. 2019) and noise in proportion
to the masking threshold (Mendes and Hogan 2020) before the networks at the waveform,
under the same attacks.

study.md has a table for each stage and one of the heuristics; meaning.png shows the
certified accuracy at the waveform, the accuracy under attack there, and the norms from
which perturbations are audible.

--preset=small takes about ten minutes a cell on 2 cores. Expect an average certified
radius of 1.08 of 1.23 at mfbe with Gaussian training and 1.14 with SmoothAdv, no flip
inside of a certified radius, and no heuristic that holds at 30 dB SNR.
"""

import dataclasses

from experiments import app, flags, requests
from experiments.lab import grid, steps
from experiments.lab.cells import Cell, product
from experiments.lab.smoothed_attack import SmoothedAttackRequest
from experiments.lab.task import Task
from experiments.studies.speakers import defended_report, sizes
from experiments.studies.speakers.defended_report import ATTACKED, SIGMAS, Thresholds
from experiments.studies.speakers.heuristics import Heuristics
from experiments.studies.speakers.sizes import Speakers

SMOOTH_ADV = "smooth_adv(eps=1.0, num_steps=2, num_noises=1)"
TRAININGS = {
    "mfbe": (
        *("plain", "gaussian", "consistency(lbd=10.0)", "macer(num_noises=2, lbd=4.0)"),
        SMOOTH_ADV,
    ),
    "magnitude": ("plain", "gaussian", "consistency(lbd=10.0)"),
    "waveform": ("plain", "gaussian"),
}
flags.declare(__name__, *sizes.FLAGS)


def cells(size: Speakers) -> list[Cell]:
    """Every stage with its trainings, then the heuristics."""
    grids = [product(stage=[at], training=every) for at, every in TRAININGS.items()]
    systems = product(stage=["waveform"], training=TRAININGS["waveform"])
    return [
        *sum(grids, []),
        *(Cell(f"heuristics/{cell['training']}", cell.values) for cell in systems),
    ]


def task(cell: Cell, size: Speakers) -> Task:
    """The network of a cell, and the stage where noise and perturbations enter."""
    at, defence = cell["stage"], cell["training"]
    return dataclasses.replace(size.base, at=at, sigma=SIGMAS[at], defence=defence)


def work(cell: Cell, size: Speakers) -> dict[str, grid.Step]:
    """Certificates and attacks on them, attacks alone, or heuristic defences."""
    plain, at = cell["training"] == "plain", cell["stage"]
    pgd = f"pgd(norm='l2', num_steps={size.num_steps}, stop='last')"
    if cell.path.startswith("heuristics/"):
        draws = 0 if plain else size.num_draws
        return {"answers": Heuristics(size.num_points, size.num_steps, draws)}
    if not plain:
        request = SmoothedAttackRequest(
            attacks=[pgd], fractions=ATTACKED, num_draws=size.num_draws
        )
        certify = steps.Certify(size.certification, size.num_points)
        return {"certificates": certify, "attacks": steps.SmoothedAttack(request)}
    budgets = {f"{multiple:g}": f"{multiple * SIGMAS[at]:.6g}" for multiple in ATTACKED}
    found = {
        "pgd": steps.Attack(pgd, budgets, size.num_points),
        "deepfool": steps.Attack("deepfool", {"smallest": None}, size.num_points),
    }
    return found | ({"heard": Thresholds(size.num_points)} if at == "waveform" else {})


STUDY = grid.Study(
    name="defended_speakers",
    cells=cells,
    presets=sizes.PRESETS,
    sized=sizes.sized,
    task=task,
    steps=work,
    report=defended_report.report,
    complete=defended_report.is_complete,
    costs={"small": grid.Cost(600, "2 cores of an AMD EPYC")},
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())


if __name__ == "__main__":
    app.run(main, device_per_core=True)
