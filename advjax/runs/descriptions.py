"""Content of `run.json`.

It has two blocks, `settings` and `environment`, the later environments in `resumed`,
and since `kind` was added, which kind of rows the run has. Files without it are those
of earlier versions.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from advjax.runtime.json_files import Fields, Items, Table, Text, read_json
from advjax.runtime.text import printable

RUN_FILE = "run.json"
_SCHEMA = Fields(
    {"settings": Table()},
    {"environment": Table(), "resumed": Items(Table()), "kind": Text()},
    open=True,
)


def description(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the blocks `settings`, `environment` and `resumed` of a run's `run.json`.

    Raises:
        FileNotFoundError: the folder has no `run.json`.
        ValueError: it is not a run's `run.json`.
        OSError: it may not be read.
    """
    return {"environment": {}, "resumed": [], **as_written(pathlib.Path(folder))}


def as_written(folder: pathlib.Path) -> dict[str, Any]:
    """The content of a run's `run.json`, without what `description` adds."""
    path = folder / RUN_FILE
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"{printable(str(path))} is missing: {printable(str(folder))} is not the "
            "folder of a run"
        )
    return read_json(
        path,
        _SCHEMA,
        advice="Take it from a copy of the run, or start the run anew in another "
        "folder",
    )


def kind_of(found: Mapping[str, Any]) -> str | None:
    """The kind of a run with this description; None where an old one does not tell."""
    if "kind" in found:
        return found["kind"]
    signs = {
        "certificates": "smoothed_attacks",
        "attack": "attack",
        "noise_enters_at": "certify",
    }
    kinds = (kind for sign, kind in signs.items() if sign in found["settings"])
    return next(kinds, None)
