"""Names of the folders that programs make, and references of runs to other folders.

A name is made of letters, digits and `-._@=`, which have no other meaning in shells,
lists of flags and patterns of file names. Folders that earlier versions made under
names with brackets and commas are found again.
"""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from advjax.representations import Representation, definition
from advjax.runtime import foreign_names
from advjax.runtime.text import printable

_LONGEST = 120
"""Characters of a title; file systems take 255 bytes, and a digest follows."""


def name_of(title: str, settings: Mapping[str, Any]) -> str:
    """The name of a folder: `title` and a digest of what decides its content."""
    plain = re.sub(r"[()\[\]{}'\"]+", " ", title).strip()
    plain = re.sub(r"[^A-Za-z0-9._@=-]+", "_", plain.replace(" @", "@"))
    plain = plain.lstrip("-._")[:_LONGEST].rstrip("_")
    return f"{plain or 'unnamed'}-{digest(settings, 8)}"


def place(
    parent: pathlib.Path, title: str, settings: Mapping[str, Any], ending: str = ""
) -> pathlib.Path:
    """The path in `parent` with that name and ending, or with the old form of both."""
    path = parent / f"{name_of(title, settings)}{ending}"
    before = parent / f"{title}-{digest(settings, 8)}{ending}"
    work = (before, before.with_name(f"{before.name}.training"))
    if "/" not in title and not path.exists() and any(map(os.path.lexists, work)):
        return before
    return path


def digest(value: Any, length: int) -> str:
    """So many hexadecimal digits of a value of JSON and representations."""

    def plain(odd: Any) -> Any:
        return definition(odd) if isinstance(odd, Representation) else str(odd)

    text = json.dumps(value, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def text_of(target: pathlib.Path, *, run: pathlib.Path, home: pathlib.Path) -> str:
    """A folder as a run writes it: relative to the run where both lie in one home.

    A home that is moved, and a run that is read from another folder, find it then.
    """
    if foreign_names.parse(str(target)):  # a network outside of any folder
        return str(target)
    target, run, home = (
        pathlib.Path(os.path.abspath(path)) for path in (target, run, home)
    )
    if target.is_relative_to(home) and run.is_relative_to(home):
        return pathlib.Path(os.path.relpath(target, run)).as_posix()
    return str(target)


def folder_from(text: str, *, run: pathlib.Path, what: str) -> pathlib.Path:
    """The folder that a run wrote down.

    Earlier versions wrote it relative to the folder they were started in. The search
    tries that folder, then the folders above the run.

    Raises:
        FileNotFoundError: it is in none of these places.
    """
    for candidate in _candidates(pathlib.Path(text), pathlib.Path(run)):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"the {what} of the run {printable(str(run))} is not where its run.json says, "
        f"{printable(text)!r}, nor in a folder above the run: move it there, or start "
        "this program in the folder that the run was started in"
    )


def _candidates(path: pathlib.Path, run: pathlib.Path) -> Iterator[pathlib.Path]:
    here = pathlib.Path(os.path.abspath(run))
    yield pathlib.Path(os.path.normpath(here / path))
    yield here / path  # where the run is reached by a link
    yield pathlib.Path(os.path.abspath(path))
    parts = [part for part in path.parts if part not in ("..", path.anchor)]
    # Of a moved or renamed home; a lone last part might be anybody's.
    for start in range(max(0, len(parts) - 1)):
        for parent in here.parents:
            yield parent.joinpath(*parts[start:])
