"""Flags for files and folders."""

import csv
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from advjax.runtime import foreign_names
from advjax.runtime.paths import user_path

flags.disclaim_key_flags()


def define_path(
    name: str,
    default: str | None,
    text: str,
    *,
    required: bool = False,
    networks: bool = False,
    values: flags.FlagValues = flags.FLAGS,
) -> flags.FlagHolder[str | None]:
    """Define a flag for one path; its value is absolute, `--help` shows the default.

    `~` is the home folder, a relative path starts at the current folder, and an empty
    path is refused. With `networks`, the name of a network in `foreign_names` may stand
    in the place of a path.
    """
    flag = _PathFlag(
        _PathParser(networks), flags.ArgumentSerializer(), name, default, text
    )
    return flags.DEFINE_flag(flag, values, required=required)


def define_paths(
    name: str,
    default: Sequence[str],
    text: str,
    *,
    networks: bool = False,
    values: flags.FlagValues = flags.FLAGS,
) -> flags.FlagHolder[list[str]]:
    """Define a flag for several paths, separated by commas or given repeatedly.

    Paths are read as by `define_path`. A comma inside a name needs no quotes if a file
    or folder of that name exists; otherwise quote as in a CSV file.
    """
    flag = _PathsFlag(_PathsParser(networks), _Joined(), name, list(default), text)
    return flags.DEFINE_flag(flag, values)


class _PathParser(flags.ArgumentParser):
    """Refuse an invalid path, and keep a valid one as typed."""

    syntactic_help = "a path"

    def __init__(self, networks: bool = False) -> None:
        self.networks = networks

    def parse(self, argument: str | os.PathLike[str]) -> str:
        self.absolute(argument)
        return os.fspath(argument)

    def absolute(self, text: str | os.PathLike[str]) -> str:
        """The path, or the network's name, that means the same in another folder."""
        network = foreign_names.parse(os.fspath(text)) if self.networks else None
        return str(network or user_path(text))

    def flag_type(self) -> str:
        return "path"


class _PathFlag(flags.Flag):
    """Flag whose value is an absolute path."""

    @property
    def value(self) -> str | None:
        return None if self._value is None else self.parser.absolute(self._value)

    @value.setter
    def value(self, value: str | None) -> None:
        self._value = value


class _PathsParser(flags.ArgumentParser):
    syntactic_help = "paths, separated by commas"

    def __init__(self, networks: bool = False) -> None:
        self.one = _PathParser(networks)

    def parse(self, argument: str | Sequence[str]) -> list[str]:
        if not isinstance(argument, str):
            return [self.one.parse(each) for each in argument]
        if not argument:
            raise ValueError("an empty path: give the names of folders or files")
        return [self.one.parse(each) for each in _split(argument)]

    def flag_type(self) -> str:
        return "paths, separated by commas"


class _Joined(flags.ArgumentSerializer):
    def serialize(self, value: list[str]) -> str:
        return ",".join(f'"{each}"' if "," in each else each for each in value)


class _PathsFlag(flags.Flag):
    """List of paths that grows when the flag is given again."""

    @property
    def value(self) -> list[str]:
        return [self.parser.one.absolute(each) for each in self._value or ()]

    @value.setter
    def value(self, value: list[str] | None) -> None:
        self._value = value

    def parse(self, argument: Any) -> None:
        new = self._parse(argument)
        self._value = [*self._value, *new] if self.present else new
        self.present += 1


def _split(text: str) -> list[str]:
    """Paths between the commas of `text`, where names may have commas too."""
    if '"' in text and not _exists(text):
        pieces = next(csv.reader([text], strict=True))
        return [piece.strip() for piece in pieces]
    pieces, paths = text.split(","), []
    while pieces:
        # The longest that exists; a single piece that does not exist stays as it is.
        for count in range(len(pieces), 0, -1):
            path = ",".join(pieces[:count])
            if count == 1 or _exists(path):
                break
        paths.append(path.strip() if count == 1 else path)
        del pieces[:count]
    return paths


def _exists(text: str) -> bool:
    try:
        return bool(text) and pathlib.Path(user_path(text)).exists()
    except (OSError, ValueError):  # a name too long for a file, or an empty text
        return False
