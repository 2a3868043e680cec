"""The commands, code, classifiers and data that results come from."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from advjax.runs import descriptions


def of_runs(folders: Sequence[pathlib.Path]) -> list[str]:
    """The command and code of runs, a line each, as far as they are known."""
    described = (descriptions.description(folder) for folder in folders)
    lines = (line for each in described for line in of(each["environment"]))
    return list(dict.fromkeys(lines))


def facts(
    settings: Mapping[str, Any], environment: Mapping[str, Any], *, duration: str
) -> dict[str, Any]:
    """The start, the classifier and the data of a run, by their names in a report.

    Args:
        settings: of the run, from its `run.json`.
        environment: likewise.
        duration: how long the run took, as a text.

    Returns:
        Values; None where the run does not have one.
    """
    return {
        "command": environment.get("command"),
        "started": environment.get("date"),
        "duration": duration,
        "device": environment.get("device"),
        "code": environment.get("git"),
        "classifier": environment.get("model"),
        "classifier's training": settings.get("defence"),
        "classifier's folder": environment.get("classifier_dir"),
        "classifier's digest": settings.get("classifier"),
        "corpus": environment.get("corpus_options") or settings.get("corpus"),
        "corpus folder": environment.get("corpus_dir"),
        "records": environment.get("records_dir"),
        "classes": environment.get("num_classes"),
    }


def of(environment: Mapping[str, Any]) -> list[str]:
    """The command and code in the provenance of a run, as one line; none if unknown."""
    code = f"code {environment['git']}" if "git" in environment else None
    known = [each for each in (environment.get("command"), code) if each]
    return [", ".join(known)] if known else []
