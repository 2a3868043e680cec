"""Who may write into the folder of a run."""

import errno
import os
import pathlib

from advjax.runs.descriptions import RUN_FILE, as_written, kind_of
from advjax.runs.rows import Schema, shards
from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable

_KEYS = {"settings", "environment", "resumed", "kind"}
_HOME = {
    "records", "classifiers", "clips", "certify", "attack", "comparisons", "compiled",
}  # fmt: skip
"""Folders of a home, which may be a run's folder too."""


def check_run_folder(
    folder: str | os.PathLike[str], schema: Schema, *, argument: str = "folder"
) -> None:
    """Refuse a folder that a run may not be written into; write nothing.

    A run may begin in a folder that is missing or empty, and continue in the folder of
    a run of the same kind. Its settings are compared by `open_run`.

    Args:
        folder: the run's own folder.
        schema: the rows that the run will have.
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
        _check_description(folder, schema, shown)
        return
    for file, content in contents:
        if not schema.begins(content):
            raise ValueError(
                f"{printable(str(file))} has other columns than this program writes, "
                f"so it cannot be continued: {_ANOTHER}"
            )
        if schema.has_rows(content):
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


def _check_description(folder: pathlib.Path, schema: Schema, shown: str) -> None:
    try:
        found = as_written(folder)
    except Damaged as error:
        raise ValueError(f"{shown} holds no run of advjax: {error}") from error
    # Earlier versions wrote these keys and no other, beside rows.
    old = {"settings", "environment"} <= set(found) <= _KEYS and shards(folder)
    if "kind" not in found and not old:
        raise ValueError(
            f"{shown} has a {RUN_FILE} that advjax did not write: {_ANOTHER}"
        )
    kind = kind_of(found)
    if kind not in (None, schema.kind):
        raise ValueError(
            f"{shown} holds a run of {printable(kind)}, not of {schema.kind}: "
            f"{_ANOTHER}"
        )
