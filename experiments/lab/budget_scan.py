"""How large a perturbation each of several attacks needs on one classifier.

An attack within a budget is run with rising budgets, each on the examples that the
budgets before have not fooled; what fools an example first is what it needs, to the
step of the scan. All budgets run one compiled program. An attack that looks for the
smallest perturbation is run once.

Every scan is a folder, and every budget a run in it: after a kill it goes on there.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from advjax import evaluation
from advjax.metrics.robustness import attackable
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import attack
from experiments.lab.task import System


class Scan(NamedTuple):
    """An attack, and the budgets that it is tried with.

    Attributes:
        attack: a choice from `ATTACKS`, with options.
        budgets: rising, in the attack's norm; none for an attack that looks for the
            smallest perturbation.
    """

    attack: str
    budgets: tuple[float, ...] = ()


class Needed(NamedTuple):
    """What an attack needed on each of its examples.

    Attributes:
        ids: of the examples, sorted.
        sizes: the smallest budget that did, or the norm of the perturbation found; inf
            where nothing did.
        norm: whose units the sizes are in.
        queries: forward passes spent on each example, over all budgets.
    """

    ids: tuple[str, ...]
    sizes: Float[np.ndarray, "examples"]
    norm: str
    queries: Float[np.ndarray, "examples"]


def scan_budgets(
    system: System,
    scan: Scan,
    points: Sequence[evaluation.Point],
    folder: pathlib.Path,
    *,
    target: str = "random",
    num_slots: int,
    environment: Mapping[str, Any],
) -> None:
    """Nothing; runs what `folder` lacks of the scan.

    Args:
        system: whose classifier is attacked.
        scan: the attack and its budgets.
        points: examples that the classifier is right about.
        folder: of the scan, with a run for each budget.
        target: the class to reach, for a targeted attack.
        num_slots: examples attacked at once, however few are left: another number
            would be another program.
        environment: where the rows come from.
    """
    built = attack.build(system, scan.attack)
    for budget in scan.budgets or (None,):
        text = None if budget is None else f"{budget:.6g}"
        prepared = attack.prepare(
            system,
            attack.AttackRequest(scan.attack, text, target, num_slots),
            points,
            workdir=folder / (text or "smallest"),
            environment=environment,
            built=built,
        )
        attack.run(prepared, keep_examples=False)
        rows = ATTACK_ROWS.read(prepared.folder)
        fooled = {id for id, won in zip(rows.id, rows.success, strict=True) if won}
        points = [point for point in points if point.id not in fooled]
        if not points:
            return


def needed(folder: pathlib.Path) -> Needed:
    """Findings of a scan's runs on the clips that could be attacked.

    Raises:
        FileNotFoundError: nothing has been run there.
    """
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    if not folders:
        raise FileNotFoundError(f"{folder}: this scan has not been run")
    sizes: dict[str, float] = {}
    queries: dict[str, float] = {}
    for each in folders:
        settings = runs.description(each)["settings"]
        rows = ATTACK_ROWS.read(each)
        norm = settings["norm"]
        spent = getattr(rows, norm) if settings["budget"] is None else rows.budget
        counted = attackable(rows.label, rows.clean, rows.target)
        for id, counts, won, size, asked in zip(
            rows.id, counted, rows.success, spent, rows.queries, strict=True
        ):
            if not counts:
                continue
            sizes[id] = min(sizes.get(id, np.inf), size if won else np.inf)
            queries[id] = queries.get(id, 0.0) + asked
    order = sorted(sizes)
    return Needed(
        tuple(order),
        np.asarray([sizes[id] for id in order], np.float64),
        norm,
        np.asarray([queries[id] for id in order], np.float64),
    )
