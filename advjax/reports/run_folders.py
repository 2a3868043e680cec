"""The folder of a run as it is found: its `run.json`, and who may write into it.

`run.json` has two blocks, `settings` and `environment`, the later `environment`s in
`resumed`, and since `kind` was added, which kind of rows the run has. Files without it
are those of earlier versions.
"""

import errno
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from advjax.reports.rows import RowFormat, shards
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Fields, Items, Table, Text, read_json
from advjax.runtime.text import printable

RUN_FILE = "run.json"
_DESCRIPTION = Fields(
    {"settings": Table()},
    {"environment": Table(), "resumed": Items(Table()), "kind": Text()},
    open=True,
)
_KEYS = {"settings", "environment", "resumed", "kind"}
_HOME = {"records", "classifiers", "clips", "certify", "attack", "compiled"}
"""Folders of a home, which may be a run's folder too."""


def description(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the blocks `settings`, `environment` and `resumed` of a run's `run.json`.

    Raises:
        FileNotFoundError: the folder has no `run.json`.
        ValueError: it is not a run's `run.json`.
        OSError: it may not be read.
    """
    return {"environment": {}, "resumed": [], **_read(pathlib.Path(folder))}


def _read(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / RUN_FILE
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"{printable(str(path))} is missing: {printable(str(folder))} is not the "
            "folder of a run"
        )
    return read_json(
        path,
        _DESCRIPTION,
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


def check_run_folder(
    folder: str | os.PathLike[str], row_format: RowFormat, *, argument: str = "folder"
) -> None:
    """Refuse a folder that a run may not be written into; write nothing.

    A run may begin in a folder that is missing or empty, and continue in the folder of
    a run of the same kind. Its settings are compared by `open_run`.

    Args:
        folder: the run's own folder.
        row_format: the kind of rows that the run will have.
        argument: the name of what gave the folder, such as "--workdir".

    Raises:
        ValueError: the folder holds other files, or a run of another kind.
        OSError: it is a file, or it cannot be read or written.
    """
    folder = pathlib.Path(folder)
    shown = f"{argument}={printable(str(folder))}"
    names = _names(folder, shown)
    if names is None:
        return
    files = shards(folder)
    # In this order: another process writes its run.json before its first row.
    contents = [(file, _beginning(file)) for file in files]
    if os.path.lexists(folder / RUN_FILE):
        _check_description(folder, row_format, shown)
        return
    for file, content in contents:
        header = row_format.header
        if not content.startswith(header) and not header.startswith(content):
            raise ValueError(
                f"{printable(str(file))} has other columns than this program writes, "
                f"so it cannot be continued: {_ANOTHER}"
            )
        if len(content) > len(header):
            raise ValueError(
                f"{shown} has rows but no {RUN_FILE}, so nothing says which settings "
                f"they belong to: {_ANOTHER}"
            )
    # A hidden name is that of a file that is being written, or of no program at all.
    ours = {file.name for file in files} | _HOME
    others = [n for n in names if n not in ours and not n.startswith(".")]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ValueError(
            f"{shown} is not empty and holds no run ({printable(others[0])}{more} is "
            f"there): {_ANOTHER}"
        )


_ANOTHER = "give a new folder, or that of a run to continue"


def _names(folder: pathlib.Path, shown: str) -> list[str] | None:
    """The names in a folder that can be written; None where there is no folder yet."""
    nearest = folder.absolute()
    try:
        # A broken link is there, too, and no folder can be made in its place.
        while not os.path.lexists(nearest):
            nearest = nearest.parent
        if not nearest.is_dir():
            at = "it" if nearest == folder.absolute() else printable(str(nearest))
            raise NotADirectoryError(f"{shown}: {at} is not a folder: {_ANOTHER}")
        names = sorted(os.listdir(nearest))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except NotADirectoryError as error:
        if error.errno is None:
            raise
        raise NotADirectoryError(f"{shown} lies in a file: {_ANOTHER}") from error
    except OSError as error:
        raise type(error)(
            f"{shown} cannot be read and written ({error.strerror}): change its "
            "permissions, or give another folder"
        ) from error
    return names if nearest == folder.absolute() else None


def _beginning(path: pathlib.Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 16)


def _check_description(folder: pathlib.Path, row_format: RowFormat, shown: str) -> None:
    try:
        found = _read(folder)
    except Damaged as error:
        raise ValueError(f"{shown} holds no run of advjax: {error}") from error
    # Earlier versions wrote these keys and no other, beside rows.
    old = {"settings", "environment"} <= set(found) <= _KEYS and shards(folder)
    if "kind" not in found and not old:
        raise ValueError(
            f"{shown} has a {RUN_FILE} that advjax did not write: {_ANOTHER}"
        )
    kind = kind_of(found)
    if kind not in (None, row_format.kind):
        raise ValueError(
            f"{shown} holds a run of {printable(kind)}, not of {row_format.kind}: "
            f"{_ANOTHER}"
        )
