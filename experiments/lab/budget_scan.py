"""The smallest budget that each clip needs, for several attacks on one classifier.

An attack within a budget runs with rising budgets, each on the clips that no smaller
budget fooled. All budgets run one compiled program. An attack that looks for the
smallest perturbation runs once.

A scan is a folder with a run for each budget; it resumes after a kill.
"""

import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.metrics.robustness import attackable
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS


class Scan(NamedTuple):
    """An attack and its budgets.

    Attributes:
        attack: a choice from `ATTACKS`, with options.
        budgets: rising, in the attack's norm; none for an attack that looks for the
            smallest perturbation.
    """

    attack: str
    budgets: tuple[float, ...] = ()


class Needed(NamedTuple):
    """The sizes of perturbation that an attack needed.

    Attributes:
        ids: of the clips, sorted.
        sizes: the smallest budget that fooled each clip, or the norm of the smallest
            perturbation; inf where the attack failed.
        norm: of the sizes.
        queries: forward passes spent on each clip, over all budgets.
        clean_doubt: one minus the probability of each clip's class, without attack.
        doubt: likewise of the adversarial example at the size that was needed; of the
            clean clip where the attack failed.
    """

    ids: tuple[str, ...]
    sizes: Float[np.ndarray, "examples"]
    norm: str
    queries: Float[np.ndarray, "examples"]
    clean_doubt: Float[np.ndarray, "examples"]
    doubt: Float[np.ndarray, "examples"]


def read_scan(folder: pathlib.Path) -> Needed:
    """The results of a scan on the clips that are attackable.

    Raises:
        FileNotFoundError: there is no run.
    """
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    if not folders:
        raise FileNotFoundError(f"{folder}: this scan has not been run")
    found: dict[str, tuple[float, float, float]] = {}
    queries: dict[str, float] = {}
    for each in folders:
        settings = runs.description(each)["settings"]
        rows = ATTACK_ROWS.read(each)
        norm = settings["norm"]
        spent = getattr(rows, norm) if settings["budget"] is None else rows.budget
        spent = np.where(rows.success, spent, np.inf)
        counted = attackable(rows.label, rows.clean, rows.target)
        doubts = 1 - rows.gt, 1 - np.where(rows.success, rows.gt_new, rows.gt)
        for id, counts, asked, *reached in zip(
            rows.id, counted, rows.queries, spent, *doubts, strict=True
        ):
            if counts:
                # Of equal sizes, such as two failures, the first one stays.
                if id not in found or reached[0] < found[id][0]:
                    found[id] = tuple(reached)
                queries[id] = queries.get(id, 0.0) + asked
    order = sorted(found)
    sizes, clean_doubt, doubt = (
        np.asarray([found[id] for id in order], float).reshape(-1, 3).T
    )
    asked = np.asarray([queries[id] for id in order], float)
    return Needed(tuple(order), sizes, norm, asked, clean_doubt, doubt)
