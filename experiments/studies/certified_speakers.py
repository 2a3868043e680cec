"""Certified speakers: the tables of O'Reilly (2020), completed, in one command.

  python -m experiments.studies.certified_speakers \\
      --corpus=librispeech --corpus_dir=LibriSpeech --out=results

Three stages (waveform, magnitude, mfbe) x five sigmas x {plain, gaussian-trained}:
trains one plain network and a Gaussian-trained one for each stage and sigma, certifies
each cell, and writes study.md and a figure per stage; then what noise, random
perturbations and another STFT do to the inputs (`speaker_inputs`). Every cell is a run
of its own: after a kill the same command goes on with the cell it was in.

At CPU size (width 8, 40 points, n = 1,000) the grid takes two to three hours on 2
cores. --cells="mfbe/*" or "*/gaussian/*" runs a part of it; two starts with different
parts and one --out share the work, and a last start without --cells writes the whole
report and looks at the inputs. --preset=publication has the publication's size, with
921 speakers where they are given:

  python -m experiments.studies.certified_speakers --preset=publication \\
      --corpus="librispeech(subsets=('train-clean-360',))" --corpus_dir=LibriSpeech

What better training buys, and what attacks leave of certificates: `defended_speakers`.
"""

import dataclasses
import fnmatch
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from advjax import smoothing
from advjax.metrics.shares import share_of
from advjax.reports import figures, tables
from experiments import app, flags, requests
from experiments.lab import caveats, certification, held_out, preflight, presets
from experiments.lab.console import say
from experiments.lab.task import Task
from experiments.studies import speaker_inputs
from experiments.studies.grid_flags import preset

STAGES = ("waveform", "magnitude", "mfbe")
SIGMAS = (0.01, 0.05, 0.10, 0.25, 0.50)
DEFENCES = ("plain", "gaussian")

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    flags.NUM_POINTS,
    flags.OUT,
    flags.CELLS,
    flags.PRESET,
    flags.VOTES,
    flags.CROPS,
    *flags.RUN_FLAGS,
)


class Cell(NamedTuple):
    """One certification of the grid."""

    stage: str
    defence: str
    sigma: float

    @property
    def path(self) -> str:
        """The cell's name, which is also where its run lies."""
        return f"{self.stage}/{self.defence}/{self.sigma:g}"


def cells(pattern: str) -> Iterator[Cell]:
    """The cells whose names match, mel energies first: they carry the main result."""
    for stage in reversed(STAGES):
        for defence in reversed(DEFENCES):
            for sigma in reversed(SIGMAS):
                cell = Cell(stage, defence, sigma)
                if fnmatch.fnmatch(cell.path, pattern):
                    yield cell


def task_of(base: Task, cell: Cell) -> Task:
    """The cell's task."""
    return dataclasses.replace(
        base, at=cell.stage, sigma=cell.sigma, defence=cell.defence
    )


def write_report(
    out: pathlib.Path, heard: dict[Cell, held_out.Accuracy], inputs: str = ""
) -> None:
    """Nothing; writes study.md and a figure per stage from the cells in `heard`.

    Args:
        out: the study's folder.
        heard: the finished cells.
        inputs: what the studies of the inputs found, in Markdown.
    """
    parts = ["# Certified speakers"]
    for stage in STAGES:
        curves = []
        for defence in DEFENCES:
            wanted = [cell for cell in heard if cell[:2] == (stage, defence)]
            found = [
                certification.read_run(out / "cells" / cell.path, f"σ = {cell.sigma:g}")
                for cell in sorted(wanted, key=lambda cell: cell.sigma)
            ]
            if found:
                table = tables.certified_accuracy_table(found)
                parts += [
                    f"## Noise at the {stage}, {defence} training",
                    tables.as_markdown(table),
                ]
            curves += [run._replace(label=f"{defence}, {run.label}") for run in found]
        if curves:
            parts.append(f"![certified accuracy, noise at the {stage}]({stage}.png)")
            figures.certified_accuracy_plot(
                curves,
                out / f"{stage}.png",
                units=stage,
                title=f"Certified accuracy with noise at the {stage}",
            )
    caps = tables.maximum_radius_table(
        lambda sigma, n: smoothing.max_radius(sigma, n, 1e-3), alpha=1e-3
    )
    parts += [
        "## Accuracy under augmentation",
        tables.as_markdown(augmentation_table(heard)),
        "## Largest certifiable radius, alpha = 0.001",
        tables.as_markdown(caps),
        inputs,
        *caveats.of_runs([out / "cells" / cell.path for cell in heard]),
    ]
    (out / "study.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


# Gaussian-augmented waveform models of the publication: accuracies without attack.
PUBLISHED_NOISY = {0.01: "0.89", 0.05: "0.62", 0.10: "0.38", 0.25: "0.17"}


def augmentation_table(heard: dict[Cell, held_out.Accuracy]) -> tables.Table:
    """Clean and noisy accuracy of every cell's network, the publication's beside it."""
    rows = []
    for cell, accuracy in sorted(heard.items()):
        same = cell.stage == "waveform" and cell.defence == "gaussian"
        published = PUBLISHED_NOISY.get(cell.sigma, "") if same else ""
        numbers = map(tables.share_text, accuracy)
        rows.append([cell.stage, cell.defence, f"{cell.sigma:g}", *numbers, published])
    return tables.Table(
        ["noise at", "training", "σ", "clean", "noisy", "publication"],
        rows,
        [
            "noisy: one draw of the same noise on every held-out crop",
            tables.INTERVAL_NOTE,
        ],
    )


def main() -> None:
    """Run the cells, then report."""
    size = preset({"small": presets.SMALL, "publication": presets.PUBLICATION})
    base = requests.task(size=size)
    if flags.CROPS.value:
        base = dataclasses.replace(
            base, crops={**base.crops, "train": flags.CROPS.value}
        )
    out = pathlib.Path(flags.OUT.value or base.home / "studies" / "certified_speakers")
    request = certification.Certification(
        num_selection=size.num_selection,
        num_estimation=flags.VOTES.value or size.num_estimation,
    )
    chosen = list(cells(flags.CELLS.value))
    if not chosen:
        raise ValueError(
            f"--cells={flags.CELLS.value!r} matches no cell; they are called like "
            "mfbe/gaussian/0.25"
        )
    heard = {}
    for number, cell in enumerate(chosen, start=1):
        say(f"cell {number} of {len(chosen)}: {cell.path}")
        draft = task_of(base, cell).draft()
        where = {
            "num_points": flags.NUM_POINTS.value or max(size.num_points, 40),
            "workdir": out / "cells" / cell.path,
        }
        preflight.check_certification(draft, request, **where)
        system = draft.resolve()
        folder = certification.certify(
            system, request, environment=app.environment(), **where
        )
        heard[cell] = held_out.held_out_accuracy(system)
        write_report(out, heard)
        rows = certification.read_run(folder).rows
        share = tables.share_text(share_of(rows.correct))
        say(f"cell {cell.path}: {share} of {len(rows)} right and certified")
    if len(heard) == len(list(cells("*"))):
        plain = task_of(base, Cell("mfbe", "plain", 0.25))
        found = [
            certification.read_run(out / "cells" / cell.path)
            for cell in heard
            if cell.stage == "mfbe" and cell.defence == "gaussian"
        ]
        write_report(out, heard, speaker_inputs.study(plain, out, runs=found))
    print((out / "study.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    app.run(main, device_per_core=True)
