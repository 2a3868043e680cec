"""Settings, provenance and outcome of a run: the content of `run.json`.

`settings` decide the rows. `environment` (versions, device, command, date) only tells
where the rows come from, and `resumed` has the environments of later starts. `outcome`
has facts of a complete run, and `kind` is the kind of rows; files of earlier versions
lack these two.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from advjax.runtime.atomic import new_file
from advjax.runtime.json_files import Fields, Items, Table, Text, read_json
from advjax.runtime.locks import lock_folder
from advjax.runtime.text import printable

RUN_FILE = "run.json"
_SCHEMA = Fields(
    {"settings": Table()},
    {
        "environment": Table(),
        "resumed": Items(Table()),
        "outcome": Table(),
        "kind": Text(),
    },
    open=True,
)
_OF_A_START = ("command", "date")
"""Entries of an environment that differ between starts."""


def description(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a run's `run.json`: `settings`, `environment`, `resumed` and `outcome`.

    Raises:
        FileNotFoundError: the folder has no `run.json`.
        ValueError: the file is not a run's `run.json`.
        OSError: the file cannot be read.
    """
    written = as_written(pathlib.Path(folder))
    return {"environment": {}, "resumed": [], "outcome": {}, **written}


def as_written(folder: pathlib.Path) -> dict[str, Any]:
    """Content of a run's `run.json`, without the defaults of `description`."""
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
    """Kind of the run with this description; None if it states none."""
    if "kind" in found:
        return found["kind"]
    signs = {
        "certificates": "smoothed_attacks",
        "attack": "attack",
        "noise_enters_at": "certify",
    }
    kinds = (kind for sign, kind in signs.items() if sign in found["settings"])
    return next(kinds, None)


def settle(
    folder: pathlib.Path,
    settings: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    kind: str,
    has_rows: bool,
    argument: str,
) -> None:
    """Write `run.json`, or check that an existing one has equal settings.

    An environment that differs from those of earlier starts is added to it.

    Args:
        folder: of the run, locked by the caller.
        settings: as for `open_run`.
        environment: as for `open_run`.
        kind: of the rows.
        has_rows: True if the folder has rows; without `run.json` they have no settings.
        argument: name of the argument or flag that gave the folder, for messages.

    Raises:
        ValueError: the run has other settings; the message names all of them.
    """
    path = folder / RUN_FILE
    settings, environment = _plain(settings), _plain(environment)
    if not path.exists():
        if has_rows:
            raise ValueError(
                f"{folder} has rows but no {RUN_FILE}, so their settings are unknown; "
                f"choose another {argument}"
            )
        with contextlib.suppress(FileExistsError):
            first = {"kind": kind, "settings": settings, "environment": environment}
            with new_file(path, replace=False) as aside:
                aside.write_text(_json(first), encoding="utf-8")
            return
        # Another process was faster: compare its settings like those of an earlier
        # start.
    found = description(folder)
    if differing := differences(found["settings"], settings):
        raise ValueError(
            f"{folder} holds a run with other settings:\n" + "\n".join(differing) + "\n"
            "Rows of different settings are never mixed: choose another "
            f"{argument}, or remove that one."
        )
    starts = map(_lasting, (found["environment"], *found["resumed"]))
    if _lasting(environment) not in starts:
        resumed = [*found["resumed"], environment]
        with new_file(path) as aside:
            aside.write_text(_json({**found, "resumed": resumed}), encoding="utf-8")


def add_outcome(folder: str | os.PathLike[str], **facts: Any) -> None:
    """Add facts of a complete run, as JSON values, to its `outcome`.

    Args:
        folder: of the run.
        **facts: values by name; they replace earlier ones of the same name.
    """
    folder = pathlib.Path(folder)
    with lock_folder(folder):
        written = as_written(folder)
        outcome = {**written.get("outcome", {}), **_plain(facts)}
        with new_file(folder / RUN_FILE) as aside:
            aside.write_text(_json({**written, "outcome": outcome}), encoding="utf-8")


def _lasting(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of an environment that are equal at every start."""
    return {name: v for name, v in environment.items() if name not in _OF_A_START}


def differences(there: Any, here: Any) -> list[str]:
    """One line for each setting that differs between two blocks, by dotted name."""
    before, now = _flat(there), _flat(here)
    return [
        f"  {name}: {before.get(name, '(absent)')!r} there, "
        f"{now.get(name, '(absent)')!r} now"
        for name in sorted(before.keys() | now.keys())
        if name not in before or name not in now or before[name] != now[name]
    ]


def _plain(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block as it reads back from JSON: tuples become lists, and so on."""

    def convert(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        raise TypeError(f"settings and facts must be JSON values, not {value!r}")

    return json.loads(json.dumps(dict(block), default=convert, allow_nan=False))


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every setting under its dotted name."""
    if not isinstance(value, dict) or (name and not value):
        return {name: value}
    flat = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{name}.{key}" if name else str(key))
    return flat


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
