"""The rows and adversarial waves of one network under one attack."""

import pathlib
from collections.abc import Mapping
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
    """The run of one network under one attack.

    Attributes:
        folder: of the run, NETWORK/ATTACK.
        rows: of the clips that count: see `attackable`.
        settings: of the run.
    """

    folder: pathlib.Path
    rows: Rows
    settings: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The network."""
        return self.folder.parent.name

    @property
    def attack(self) -> str:
        """The attack."""
        return self.folder.name

    @property
    def ids(self) -> list[str]:
        """The jobs that succeeded."""
        pairs = zip(self.rows.id, self.rows.success, strict=True)
        return [id for id, success in pairs if success]

    def wave(self, id: str) -> Wave:
        """One adversarial wave.

        Raises:
            FileNotFoundError: the waves are not on this machine.
        """
        file = self.folder / EXAMPLES_FOLDER / f"{file_name(id)}.npy"
        if not file.exists():
            raise FileNotFoundError(
                f"no {file}: {self.source}/{self.attack} has rows but not their waves; "
                "remove the cell's folder to make both again"
            )
        return np.load(file, allow_pickle=False)


def is_complete(folder: pathlib.Path) -> bool:
    """True if a folder has a row for each of its clips."""
    if not (folder / "run.json").exists():
        return False
    wanted = runs.description(folder)["settings"]["jobs"]
    return len(ATTACK_ROWS.read(folder)) == len(wanted)


def read(folder: pathlib.Path) -> ClipRun:
    """The run of a cell."""
    rows = attackable_rows(ATTACK_ROWS.read(folder))
    return ClipRun(folder, rows, runs.description(folder)["settings"])


def attackable_rows(rows: Rows) -> Rows:
    """The rows on which an attack has something to do: see `attackable`."""
    return rows.take(attackable(rows.label, rows.clean, rows.target))


def inflated_snr_db(
    x: Float[np.ndarray, "time"], x_adv: Float[np.ndarray, "time"]
) -> float:
    """The SNR by the formula with the slip: 10 log10(mean(x^2) / mean(x_adv - x)^2)."""
    delta = x_adv.astype(np.float64) - x
    power = np.mean(np.square(x, dtype=np.float64))
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(power / delta.mean() ** 2))
