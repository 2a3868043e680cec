"""The figure of PGD in the study of the classical pipeline."""

import pathlib
from collections.abc import Mapping

import numpy as np

from advjax.reports import figures
from experiments.studies.robust_svm.steps import Planned, read_attacked, run_name


def draw_pgd(
    cells: Mapping[str, pathlib.Path], pgd: Planned, path: pathlib.Path, title: str
) -> bool:
    """True if there was anything to draw of accuracy over PGD's budgets.

    Args:
        cells: folders by the name in the legend.
        pgd: the attack.
        path: of the PNG.
        title: above it.
    """
    curves = []
    for name, cell in cells.items():
        budgets = pgd.budgets
        found = [read_attacked(cell / run_name("pgd", budget)) for budget in budgets]
        if None in found:
            continue
        left = [float(np.mean(each.right & ~each.fooled)) for each in found]
        clean = float(found[0].right.mean())
        curves.append(
            figures.AttackedCurve(
                name, np.asarray([0.0, *budgets]), np.asarray([clean, *left])
            )
        )
    if not curves:
        return False
    figures.attacked_accuracy_plot(
        curves,
        path,
        x_label="linf norm of the perturbation of an image in [0, 1]",
        title=f"{title}: PGD by each classifier's own gradients",
    )
    return True
