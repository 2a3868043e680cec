"""The tables and figures of the study of certified speakers, from its cells."""

import pathlib
from collections.abc import Iterator, Mapping

from advjax import smoothing
from advjax.metrics.shares import Share
from advjax.reports import figures, tables
from experiments.lab import caveats, cell_files, certify_report
from experiments.lab.cells import Cell
from experiments.lab.grid import Found
from experiments.studies.speakers import inputs

# Gaussian-augmented waveform models of the publication: accuracies without attack.
PUBLISHED_NOISY = {0.01: "0.89", 0.05: "0.62", 0.10: "0.38", 0.25: "0.17"}


def report(found: Found) -> Iterator[str]:
    """A table for each stage and training, a figure for each stage, then the rest."""
    every = dict(found.cells)
    looked_at = [every.pop(cell) for cell in found.cells if cell.path == "inputs"]
    ordered = sorted(every.items(), key=lambda pair: pair[0]["sigma"])
    runs = {cell: _run(cell, folder) for cell, folder in ordered}
    yield "# Certified speakers"
    for stage in ("waveform", "magnitude", "mfbe"):
        curves = []
        for training in ("plain", "gaussian"):
            mine = [
                run
                for cell, run in runs.items()
                if (cell["stage"], cell["training"]) == (stage, training)
            ]
            if mine:
                yield f"## Noise at the {stage}, {training} training"
                yield tables.as_markdown(tables.certified_accuracy_table(mine))
            curves += [run._replace(label=f"{training}, {run.label}") for run in mine]
        if curves:
            figures.certified_accuracy_plot(
                curves,
                found.out / f"{stage}.png",
                units=stage,
                title=f"Certified accuracy with noise at the {stage}",
            )
            yield f"![certified accuracy, noise at the {stage}]({stage}.png)"
    if (augmented := augmentation_table(every)).rows:
        yield "## Accuracy under augmentation"
        yield tables.as_markdown(augmented)
    caps = tables.maximum_radius_table(
        lambda sigma, n: smoothing.max_radius(sigma, n, 1e-3), alpha=1e-3
    )
    yield "## Largest certifiable radius, alpha = 0.001"
    yield tables.as_markdown(caps)
    for folder in looked_at:
        beside = [
            runs[cell]
            for cell in every
            if (cell["stage"], cell["training"]) == ("mfbe", "gaussian")
        ]
        yield inputs.markdown(inputs.stored(folder), beside)
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
        numbers = [
            tables.share_text(Share(**results[name])) for name in ("clean", "noisy")
        ]
        rows.append([stage, training, f"{sigma:g}", *numbers, published])
    return tables.Table(
        ["noise at", "training", "σ", "clean", "noisy", "publication"],
        rows,
        [
            "noisy: one draw of the same noise on every held-out crop",
            tables.INTERVAL_NOTE,
        ],
    )


def _run(cell: Cell, folder: pathlib.Path):
    return certify_report.read_run(folder, f"σ = {cell['sigma']:g}")
