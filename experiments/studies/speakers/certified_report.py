"""Tables and figures of the study of certified speakers."""

import pathlib
from collections.abc import Iterator, Mapping

from advjax.metrics.shares import Share
from advjax.reports import figures, tables
from advjax.reports.page import Block, Heading
from experiments.lab import caveats, cell_files, certify_report
from experiments.lab.cells import Cell
from experiments.lab.grid import Found
from experiments.lab.study_tables import sections
from experiments.studies.speakers import input_cells, inputs
from experiments.studies.speakers.changed_inputs import certified_below
from experiments.studies.speakers.maximum_radii import maximum_radius_table

# Gaussian-augmented waveform models of the publication: accuracies without attack.
PUBLISHED_NOISY = {0.01: "0.89", 0.05: "0.62", 0.10: "0.38", 0.25: "0.17"}


def report(found: Found) -> Iterator[Block]:
    """A table for each stage and training, a figure for each stage, then the rest."""
    # Cells of the grid itself have three values, and cells of inputs are none of them.
    every = {
        cell: f
        for cell, f in found.cells.items()
        if cell.path not in input_cells.STEPS and len(cell.values) == 3
    }
    runs = {
        cell: certify_report.read_run(every[cell], f"σ = {cell['sigma']:g}")
        for cell in sorted(every, key=lambda cell: cell["sigma"])
    }

    def runs_of(stage, training):
        wanted = (stage, training)
        return [r for c, r in runs.items() if (c["stage"], c["training"]) == wanted]

    yield Heading("Certified speakers", 1)
    for stage in ("waveform", "magnitude", "mfbe"):
        curves = []
        for training in ("plain", "gaussian"):
            mine = runs_of(stage, training)
            title = f"Noise at the {stage}, {training} training"
            yield from sections({title: tables.certified_accuracy_table(mine)})
            curves += [run._replace(label=f"{training}, {run.label}") for run in mine]
        if curves:
            figures.certified_accuracy_plot(
                curves,
                found.out / f"{stage}.png",
                units=stage,
                title=f"Certified accuracy with noise at the {stage}",
            )
            yield f"![certified accuracy, noise at the {stage}]({stage}.png)"
    yield from sections(
        {
            "Accuracy under augmentation": augmentation_table(every),
            "Largest certifiable radius, alpha = 0.001": maximum_radius_table(),
        }
    )
    for heading, table in input_cells.sections(found.cells):
        if heading == inputs.FRONT_ENDS:
            table = certified_below(table, runs_of("mfbe", "gaussian"))
        yield from (heading, table)
    yield from caveats.of_runs([*every.values()])


def augmentation_table(cells: Mapping[Cell, pathlib.Path]) -> tables.Table:
    """Clean and noisy accuracy of every cell's network, the publication's beside it."""
    rows = []
    for cell, folder in sorted(cells.items(), key=lambda pair: pair[0].values):
        stage, training, sigma = (value for _, value in cell.values)
        results = cell_files.results(folder)
        if "noisy" not in results:
            continue
        same = (stage, training) == ("waveform", "gaussian")
        published = PUBLISHED_NOISY.get(sigma, "") if same else ""
        shares = [Share(**results[name]) for name in ("clean", "noisy")]
        texts = map(tables.share_text, shares)
        rows.append([stage, training, f"{sigma:g}", *texts, published])
    return tables.Table(
        ["noise at", "training", "σ", "clean", "noisy", "publication"],
        rows,
        [
            "noisy: one draw of the same noise on every held-out crop",
            tables.INTERVAL_NOTE,
        ],
    )
