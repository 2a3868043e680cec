"""The rows and adversarial waves of one network under one attack."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from advjax.metrics.robustness import attackable
from advjax.runs import folder as runs
from advjax.runs.columns import Rows
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab.adversarial_examples import EXAMPLES_FOLDER, file_name

Wave = Float32[np.ndarray, "time"]


class ClipRun(NamedTuple):
    """One network under one attack: its rows, and its run's settings."""

    rows: Rows
    settings: Mapping[str, Any]


def is_complete(folder: pathlib.Path) -> bool:
    """True if a folder has a row for each of its clips."""
    if not (folder / "run.json").exists():
        return False
    wanted = runs.description(folder)["settings"]["jobs"]
    return len(ATTACK_ROWS.read(folder).id) == len(wanted)


def read(folder: pathlib.Path) -> ClipRun:
    """The run of a cell, without clips that the attack had nothing to do on."""
    rows = worked_on(ATTACK_ROWS.read(folder))
    return ClipRun(rows, runs.description(folder)["settings"])


def worked_on(rows: Rows) -> Rows:
    """The rows of clips that an attack had something to do on: see `attackable`."""
    return rows.take(attackable(rows.label, rows.clean, rows.target))


class Examples(NamedTuple):
    """The adversarial waves of one network and attack.

    Attributes:
        source: the network.
        attack: the attack.
        folder: of one file for each job.
        ids: the jobs that succeeded.
        made_by: whatever decides the waves, as text.
    """

    source: str
    attack: str
    folder: pathlib.Path
    ids: Sequence[str]
    made_by: str

    @classmethod
    def of(cls, folder: pathlib.Path) -> "Examples":
        """Those of a cell."""
        rows, settings = read(folder)
        won = [id for id, hit in zip(rows.id, rows.success, strict=True) if hit]
        made_by = json.dumps(settings, sort_keys=True)
        waves = folder / EXAMPLES_FOLDER
        return cls(folder.parent.name, folder.name, waves, won, made_by)

    def wave(self, id: str) -> Float32[np.ndarray, "time"]:
        """One adversarial wave.

        Raises:
            FileNotFoundError: it is not on this machine.
        """
        file = self.folder / f"{file_name(id)}.npy"
        if not file.exists():
            raise FileNotFoundError(
                f"no {file}: the rows of {self.source}/{self.attack} are there without "
                "their waves; remove the cell's folder to make both again"
            )
        return np.load(file, allow_pickle=False)


def inflated_snr_db(
    x: Float[np.ndarray, "time"], x_adv: Float[np.ndarray, "time"]
) -> float:
    """The SNR by the formula with the slip: 10 log10(mean(x^2) / mean(x_adv - x)^2)."""
    delta = x_adv.astype(np.float64) - x
    with np.errstate(divide="ignore"):
        return float(
            10 * np.log10(np.mean(np.square(x, dtype=np.float64)) / delta.mean() ** 2)
        )
