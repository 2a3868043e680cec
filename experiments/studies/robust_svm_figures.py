"""The figures of the study of the classical pipeline."""

import functools
import pathlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from advjax.classifier import Classifier
from advjax.models import SurfSvm
from advjax.reports import figures
from experiments.studies.robust_svm_cells import Planned, read_attacked, run_folder


def draw_pgd(
    cells: Mapping[str, pathlib.Path], pgd: Planned, path: pathlib.Path, title: str
) -> bool:
    """Whether there was anything to draw of accuracy over PGD's budgets.

    Args:
        cells: folders by the name in the legend.
        pgd: the attack.
        path: of the PNG.
        title: above it.
    """
    curves = []
    for name, cell in cells.items():
        budgets = pgd.budgets
        found = [read_attacked(run_folder(cell, "pgd", budget)) for budget in budgets]
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


def draw_stages(classifier: Classifier, points, path: pathlib.Path) -> None:
    """Nothing; draws three images as they are and behind each stage of the pipeline."""
    module: SurfSvm = classifier.module
    chosen = [points[i] for i in np.linspace(0, len(points) - 1, 3).astype(int)]
    x = jnp.asarray(np.stack([point.x for point in chosen])[..., 0])
    enhance = module.front._replace(energy=1).reduce
    enhanced = jax.jit(jax.vmap(enhance))(x)
    reduced = jax.jit(jax.vmap(module.front.reduce))(x)
    purify = functools.partial(module.apply, method=SurfSvm.purify)
    purified = jax.jit(purify)(classifier.variables, x)
    images = np.stack([x, enhanced, reduced, purified], axis=1)
    titles = ["image", "enhanced", f"{module.energy:.0%} of the energy", "denoised"]
    figures.image_grid_plot(
        np.asarray(images),
        path,
        row_labels=[classifier.labels[point.label] for point in chosen],
        titles=[titles] * len(chosen),
        units="level within [0, 1]",
        title="Behind each stage of the pipeline",
    )
