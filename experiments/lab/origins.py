"""The commands and the code that results come from."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from advjax.runs import descriptions


def of_runs(folders: Sequence[pathlib.Path]) -> list[str]:
    """The command and code of runs, a line each, as far as they are known."""
    described = (descriptions.description(folder) for folder in folders)
    lines = (line for each in described for line in of(each["environment"]))
    return list(dict.fromkeys(lines))


def of(environment: Mapping[str, Any]) -> list[str]:
    """The command and code in the provenance of a run, as one line; none if unknown."""
    code = f"code {environment['git']}" if "git" in environment else None
    known = [each for each in (environment.get("command"), code) if each]
    return [", ".join(known)] if known else []
