"""Our speakers beside Cohen et al.'s (2019) images and O'Reilly's (2020) networks."""

from collections.abc import Hashable, Iterable, Mapping, Sequence

from advjax.metrics.shares import Share
from advjax.reports.tables import (
    CLUSTERS_NOTE,
    DASH,
    INTERVAL_NOTE,
    Table,
    share_text,
)
from experiments.lab import cell_files
from experiments.studies.speakers import published
from experiments.studies.speakers.certified_cells import (
    STAGES,
    Certified,
    networks,
    on_same_points,
)
from experiments.studies.speakers.published_tables import entry, star_notes


def cohen_tables(cells: Sequence[Certified]) -> dict[str, Table]:
    """Cohen et al.'s certified accuracies of images by title, ours at equal sigma."""
    images = {
        "CIFAR-10": (published.CIFAR_RADII, published.CIFAR),
        "ImageNet": (published.IMAGENET_RADII, published.IMAGENET),
    }
    return {
        f"Beside {name} (Cohen et al. 2019)": _cohen_table(name, radii, theirs, cells)
        for name, (radii, theirs) in images.items()
        if cells
    }


def _cohen_table(
    name: str,
    radii: Sequence[float],
    theirs: Mapping[float, Sequence[float]],
    cells: Sequence[Certified],
) -> Table:
    rows = []
    for sigma, accuracies in theirs.items():
        texts = [f"{each:.2f}" if each else "0" for each in accuracies]
        votes = f"{published.COHEN_ESTIMATION:,}"
        rows.append([f"{sigma:g}", name, votes, *texts])
        for title, group in _gaussian_at(sigma, cells):
            points = on_same_points(group)
            votes = f"{group[0].settings['num_estimation']:,}"
            texts = [entry(group, points, radius) for radius in radii]
            rows.append([f"{sigma:g}", title, votes, *texts])
    return Table(
        ["σ", "data", "n", *(f"r={radius:g}" for radius in radii)],
        rows,
        [
            f"{name}: as {published.NAME} repeats it, 500 images; 0: beyond the "
            "largest radius of n = 100,000. Ours: speech, networks trained with the "
            "noise. Radii are l2 in units of each input, so accuracies of different "
            "data do not compare at equal r",
            f"{DASH}: beyond the largest radius that a run could certify",
            CLUSTERS_NOTE,
            *star_notes(rows),
        ],
    )


def _gaussian_at(sigma: float, cells: Sequence[Certified]):
    """Our networks trained with this noise at the stages, by title."""
    for stage in STAGES:
        key = sigma, "gaussian", False
        if group := networks(cells, stage=stage).get(key):
            yield f"ours, {stage}", group
        for cell in cells:
            values = stage, sigma, "many"
            axes = cell.axes
            if (axes["stage"], axes["sigma"], axes.get("bound")) == values:
                yield f"ours, {stage}, {len(cell.rows)} crops", [cell]


def noise_table(cells: Sequence[Certified]) -> Table:
    """Accuracy under noise by its sigma: the publication's rows, and ours."""
    every = {
        name: {sigma: f"{value:.2f}" for sigma, value in row.items()}
        for name, row in published.ACCURACY_BY_TRAINING_SIGMA.items()
    }
    ours = {}
    for stage in STAGES:
        for (sigma, training, by_chapter), group in networks(
            cells, stage=stage
        ).items():
            results = cell_files.results(group[0].folder)
            if by_chapter or "noisy" not in results:
                continue
            clean, noisy = (
                share_text(Share(**results[name])) for name in ("clean", "noisy")
            )
            row = ours.setdefault(f"ours, {stage}, {training}: under noise", {})
            row[sigma] = noisy
            if training == "plain":
                row[None] = clean
            else:
                title = f"ours, {stage}, {training}: without noise"
                ours.setdefault(title, {})[sigma] = clean
    every |= ours
    sigmas = sorted({s for row in every.values() for s in row if s is not None})
    rows = [
        [name, *(row.get(sigma, DASH) for sigma in (None, *sigmas))]
        for name, row in every.items()
    ]
    return Table(
        ["network", "no noise", *(f"σ={sigma:g}" for sigma in sigmas)],
        rows if ours else [],
        [
            "published rows: accuracy of networks trained with noise of σ. Ours: of "
            "one network a σ, not smoothed, on all held-out crops, without noise and "
            "under one draw of it; a plain network is trained without noise",
            INTERVAL_NOTE,
            "these intervals take crops for independent, so they are too narrow",
        ],
    )


def comparison_table(ours: Iterable[published.Comparison]) -> Table:
    """O'Reilly's comparison of data sets and models, and our rows."""
    rows: list[Sequence[Hashable]] = []
    for row in (*published.COMPARISON, *ours):
        rows.append(
            [
                row.data,
                f"{row.num_classes:,}",
                " / ".join(f"{size:,}" for size in row.dimensions),
                f"{row.num_training:,}",
                f"{row.num_test:,}",
                row.network,
                f"{row.num_parameters / 1e6:.3g}",
                f"{row.accuracy:.2f}",
            ]
        )
    return Table(
        [
            *("data", "classes", "dimensions", "training", "test", "network"),
            *("million parameters", "accuracy"),
        ],
        rows,
        [
            "dimensions of speech: waveform / magnitude / mfbe. The published 25,000 "
            "samples are 25,800 in the published clips, which give the 160 frames of "
            "41,120 = 160 x 257",
            "training, test: examples; of speech, crops",
        ],
    )
