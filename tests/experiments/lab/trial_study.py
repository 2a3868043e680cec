"""A trial study: certificates of two speakers, with and without noise in training.

  python tests/experiments/lab/trial_study.py --num_steps=120 --out=results

Takes two minutes on one core.
"""

import dataclasses

from advjax.reports import page, tables
from experiments import app, flags, requests
from experiments.lab import certify_report, grid, presets, steps
from experiments.lab.cells import product
from experiments.lab.certify_settings import Certification

flags.declare(
    __name__,
    *(flags.CORPUS, flags.MODEL, flags.NUM_STEPS, flags.BATCH_SIZE, flags.OUT),
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


def task(cell, sizes):
    _, base = sizes
    return dataclasses.replace(base, defence=cell["training"])


def work(cell, sizes):
    preset, _ = sizes
    request = Certification(preset.num_selection, preset.num_estimation, alpha=0.01)
    return {"certificates": steps.Certify(request, num_points=8)}


def report(found):
    yield page.Heading("Trainings", 1)
    runs = [certify_report.read_run(f, c["training"]) for c, f in found.cells.items()]
    yield tables.certified_accuracy_table(runs)


STUDY = grid.Study(
    name="trainings",
    cells=lambda sizes: product(training=("plain", "gaussian")),
    presets=presets.PRESETS,
    sized=lambda preset: (preset, requests.task(size=preset)),
    task=task,
    steps=work,
    report=report,
)


def main():
    grid.run(STUDY, requests.study(STUDY.name), app.environment())


if __name__ == "__main__":
    app.run(main, device_per_core=True)
