"""Certificates of speakers under attack, and better training for them.

  python -m experiments.studies.defended_speakers \\
      --corpus=librispeech --corpus_dir=LibriSpeech --out=results

The cells `selection/*` come first: consistency, MACER and SmoothAdv each train at mfbe
with at most four settings, and validation crops choose one of each. No test crop does.
Starts that share the cells (--share) need these finished: run them before.

Then a cell is a stage and a training: mfbe, magnitude and the waveform, each with
networks trained plainly, on Gaussian noise, and for larger radii with the chosen
settings. At mfbe there are three training seeds (`seed1/mfbe/gaussian`). A smoothed
cell is certified, then attacked on a part of its crops: by PGD and by Carlini and
Wagner's attack on the mean over noise, judged by the smoothed classifier's vote. The
plain network is attacked without smoothing. The cells `heuristics/*` put MP3,
resampling, white noise, reverberation (Subramanian et al. 2019) and noise in proportion
to the masking threshold (Mendes and Hogan 2020) before the networks at the waveform,
under PGD and the imperceptible attack.

study.md has the settings, a table for each stage, the share of the gap to the largest
radius that a training closes, with intervals over seeds, all attacks inside certified
radii, and the heuristics. STAGE.png shows what attacks left; meaning.png has that at
the waveform, what is certified, and the norms from which perturbations are audible.

The order of the cells is that in which they are worth their time: the third seed and
the magnitude are last. --engine=openvino --precision=bfloat16 counts votes up to five
times as fast on CPUs that multiply bfloat16; gradients of attacks stay in JAX.

--preset=small takes about eight hours of two idle cores with OpenVINO, extrapolated
from a few steps of each kind: nearly four for the mfbe cells, one and a half for the
selection. With the --home of `certified_speakers` the networks that both have are not
trained again. A first look takes minutes:

  python -m experiments.studies.defended_speakers --cells=mfbe/gaussian \\
      --num_points=10 --num_steps=300
"""

import dataclasses

from advjax import catalog
from advjax.representations import FRONT_ENDS
from experiments import app, flags, requests
from experiments.lab import grid, smoothed_attack, steps
from experiments.lab.cells import Cell, product
from experiments.lab.smoothed_attack import SmoothedAttackRequest
from experiments.lab.task import Task
from experiments.studies.speakers import defended_report, selection
from experiments.studies.speakers import defended_sizes as sizes
from experiments.studies.speakers.defended_report import ATTACKED, SIGMAS, Thresholds
from experiments.studies.speakers.defended_sizes import Size
from experiments.studies.speakers.heuristics import Heuristics

TRAININGS = {
    "mfbe": ("plain", "gaussian", "consistency", "macer", "smooth_adv"),
    "magnitude": ("plain", "gaussian", "consistency"),
    "waveform": ("plain", "gaussian"),
}
flags.declare(__name__, *sizes.FLAGS)


def cells(size: Size) -> list[Cell]:
    """The selection, then every stage with its trainings and seeds, and heuristics."""
    grids = {at: product(stage=[at], training=of) for at, of in TRAININGS.items()}
    repeated = [cell for cell in grids["mfbe"] if cell["training"] != "plain"]
    seeds = [
        [Cell(f"seed{seed}/{c.path}", (*c.values, ("seed", seed))) for c in repeated]
        for seed in range(1, sizes.NUM_SEEDS)
    ]
    heuristics = [
        Cell(f"heuristics/{cell['training']}", cell.values)
        for cell in grids["waveform"]
    ]
    first, *others = seeds
    return [
        *selection.cells(),
        *grids["mfbe"],
        *first,
        *grids["waveform"],
        *heuristics,
        *sum(others, []),
        *grids["magnitude"],
    ]


def task(cell: Cell, size: Size) -> Task:
    """The network of a cell, and the stage where noise and perturbations enter.

    The settings of a defence are those that `selection.Chosen` gives.
    """
    at, base = cell["stage"], size.base
    found = dataclasses.replace(
        base,
        at=at,
        sigma=SIGMAS[at],
        defence=cell["training"],
        recipe=dataclasses.replace(base.recipe, num_steps=size.num_steps[at]),
        seed=base.seed + dict(cell.values).get("seed", 0),
    )
    if cell["training"] == "plain" or cell.path.startswith("heuristics/"):
        # Attacks need gradients, and few votes are counted.
        found = smoothed_attack.differentiable_task(found)
    return found


def work(cell: Cell, size: Size) -> dict[str, grid.Step]:
    """Radii on validation crops, certificates and attacks on them, or attacks alone."""
    at, training, attacks = cell["stage"], cell["training"], size.attacks
    num_points = size.num_points[at]
    if cell.path.startswith("selection/"):
        estimate = selection.EstimateRadii(size.certification, size.num_validation)
        return {"validation": estimate}
    if cell.path.startswith("heuristics/"):
        num_points = min(num_points, attacks.num_points)
        return {"answers": Heuristics(num_points, attacks, training != "plain")}
    pgd = f"pgd(norm='l2', num_steps={attacks.pgd_steps}, stop='last')"
    if training == "plain":
        found = {
            "pgd": steps.Attack(pgd, _budgets(at), num_points),
            "deepfool": steps.Attack("deepfool", {"smallest": None}, num_points),
        }
        heard = {"heard": Thresholds(num_points)} if at == "waveform" else {}
        return found | heard
    found = {
        "certificates": steps.Certify(size.certification, num_points),
        "attacks": steps.SmoothedAttack(
            SmoothedAttackRequest(
                attacks=[pgd],
                fractions=ATTACKED,
                num_draws=attacks.pgd_draws,
                num_points=attacks.num_points,
            )
        ),
        "carlini_wagner": steps.SmoothedAttack(
            SmoothedAttackRequest(
                attacks=[_carlini_wagner(at, size)],
                fractions=(),
                num_draws=attacks.search_draws,
                num_points=attacks.num_points,
            ),
            name="carlini_wagner",
        ),
    }
    if training not in selection.CANDIDATES:
        return found
    return {name: selection.Chosen(step, training) for name, step in found.items()}


def _budgets(at: str) -> dict[str, str]:
    """Norms of PGD on a plain network, by their multiple of the noise elsewhere."""
    return {f"{multiple:g}": f"{multiple * SIGMAS[at]:.6g}" for multiple in ATTACKED}


def _carlini_wagner(at: str, size: Size) -> str:
    features = catalog.pick(size.base.features, FRONT_ENDS)
    return smoothed_attack.carlini_wagner(
        SIGMAS[at],
        features.stage(at).feature_shape,
        num_searches=size.attacks.num_searches,
        num_steps=size.attacks.search_steps,
    )


STUDY = grid.Study(
    name="defended_speakers",
    cells=cells,
    presets=sizes.PRESETS,
    sized=sizes.sized,
    task=task,
    steps=work,
    report=defended_report.report,
    complete=defended_report.is_complete,
    costs={"small": grid.Cost(850, "2 idle cores of an Intel Xeon, extrapolated")},
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())


if __name__ == "__main__":
    app.run(main, device_per_core=True)
