"""Tables and figures of the study of certified speakers."""

from collections.abc import Iterator, Sequence

from advjax.metrics.shares import Share
from advjax.reports import figures
from advjax.reports.page import Block, Heading
from experiments.lab import caveats, cell_files
from experiments.lab.grid import Found
from experiments.lab.study_tables import sections
from experiments.studies.speakers import (
    certified_cells,
    comparison_tables,
    input_cells,
    inputs,
    published_tables,
    vote_tables,
)
from experiments.studies.speakers.certified_cells import STAGES, Certified, networks
from experiments.studies.speakers.changed_inputs import certified_below
from experiments.studies.speakers.maximum_radii import maximum_radius_table
from experiments.studies.speakers.network_sizes import our_network
from experiments.studies.speakers.probabilities import probability_curves

FIRST = (
    "The distribution of the lower bound on the probability of the right class stands "
    "first, as Sun et al. (ICML 2025, arXiv:2410.06895) propose: it shows easy and "
    "hard clips apart. The height of a curve at radius r is the certified accuracy "
    "there, up to the largest radius that was tested. Where votes stop early, the "
    "curve between tested radii is a lower bound."
)


def report(found: Found) -> Iterator[Block]:
    """Distributions, each stage beside the publication, checks, costs, then inputs."""
    cells = certified_cells.read(found)
    yield Heading("Certified speakers", 1)
    yield from _distributions(found, cells)
    for stage in STAGES:
        title = f"Noise at the {stage}, beside the publication"
        yield from sections({title: published_tables.stage_table(stage, cells)})
        yield from _curves(found, stage, cells)
    yield from sections(
        {
            "Training seeds": published_tables.seeds_table(cells),
            **comparison_tables.cohen_tables(cells),
            "Accuracy under noise": comparison_tables.noise_table(cells),
            **_comparison(cells),
            **_checks(cells, "fixed", "A fixed n beside the sequential bound"),
            **_checks(cells, "many", "As many votes as Cohen et al."),
            "Cost in votes and hours": vote_tables.cost_table(found, cells),
            "Largest certifiable radius, alpha = 0.001": maximum_radius_table(),
        }
    )
    front = networks(cells, stage="mfbe", training="gaussian")
    runs = [group[0].tested for key, group in front.items() if not key[2]]
    for heading, table in input_cells.sections(found.cells):
        if heading == inputs.FRONT_ENDS:
            table = certified_below(table, runs)
        yield from (heading, table)
    yield from caveats.of_runs([cell.folder for cell in cells])


def _distributions(found: Found, cells: Sequence[Certified]) -> Iterator[Block]:
    """The figure of each stage."""
    drawn = []
    for stage in STAGES:
        name = f"{stage}_probabilities.png"
        if curves := probability_curves(stage, cells):
            title = f"Probability of the right class under noise at the {stage}"
            figures.probability_plot(curves, found.out / name, title=title)
            drawn.append(f"![probability of the right class, {stage}]({name})")
    if drawn:
        yield Heading("Distribution of the certified probability")
        yield FIRST
        yield from drawn


def _curves(found: Found, stage: str, cells: Sequence[Certified]) -> Iterator[Block]:
    """The figure of certified accuracies over the radius, a curve for each network."""
    runs = []
    groups = networks(cells, stage=stage)
    for training in ("plain", "gaussian"):
        for (_, own, by_chapter), group in groups.items():
            if own == training and not by_chapter:
                run = group[0].tested
                runs.append(run._replace(label=f"{training}, {run.label}"))
    if runs:
        figures.certified_accuracy_plot(
            runs,
            found.out / f"{stage}.png",
            units=stage,
            title=f"Certified accuracy with noise at the {stage}",
        )
        yield f"![certified accuracy, noise at the {stage}]({stage}.png)"


def _comparison(cells: Sequence[Certified]):
    """The comparison of data sets, with our row where its sizes are known."""
    plain = networks(cells, stage="mfbe", training="plain")
    for (_, _, by_chapter), (cell, *_) in plain.items():
        results = cell_files.results(cell.folder)
        if "clean" in results and not by_chapter:
            ours = our_network(cell, Share(**results["clean"]).value)
            table = comparison_tables.comparison_table([ours])
            return {"Data and networks": table}
    return {}


def _checks(cells: Sequence[Certified], bound: str, title: str):
    """Tables of both bounds on the same crops, by title."""
    found = vote_tables.bound_tables(cells, bound)
    return {f"{title}, {where}": table for where, table in found.items()}
