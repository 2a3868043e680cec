"""`cell.json`: the settings of a study's cell, and its finished steps.

    {"task": {...},
     "steps": {"certified": {"settings": {...}, "given": null, "result": {...},
                             "started": "2026-01-31 12:00:00 UTC", "seconds": 12.5,
                             "peak_gib": 1.2, "environment": {...}}}}

The environment has the command, the commit, and the versions of packages.

Files of earlier versions have results at the top instead, and no steps.
"""

import dataclasses
import json
import math
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from advjax.runtime import json_files
from advjax.runtime.atomic import new_file
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Anything, Number, Table
from experiments.lab.console import say

FILE = "cell.json"
_STEP = json_files.Fields(
    {
        **{name: Table() for name in ("settings", "result", "environment")},
        **{name: Number(0) for name in ("seconds", "peak_gib")},
        "given": Anything(),
    },
    {"started": json_files.Text()},  # cells of earlier versions lack it
)
_STEPS = Table(_STEP, key=json_files.Text())
# Settings of a task that decide where its data lie, and not their content.
_FOLDERS = ("home", "corpus_dir")


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The content of a cell's file; no steps where the file is missing or damaged."""
    try:
        content = json_files.read_json(folder / FILE, Table())
        json_files.check(content.get("steps", {}), _STEPS, name=folder / FILE)
    except FileNotFoundError:
        content = {}
    except Damaged as error:
        say(f"{error}: its steps are run again")
        content = {}
    return {"task": None, "steps": {}} | content


def results(folder: pathlib.Path) -> dict[str, Any]:
    """The results of all steps of a cell, by their own names."""
    content = read(folder)
    steps = content.pop("steps")
    for step in steps.values():
        content |= step["result"]
    return content


def has_accuracy(folder: pathlib.Path) -> bool:
    """True if a folder, of an earlier version too, has the results of `Measure`."""
    return "accuracy" in results(folder)


def add(folder: pathlib.Path, task: Any, name: str, step: Mapping[str, Any]) -> None:
    """Write a finished step into a cell's file."""
    content = read(folder)
    steps = {**content["steps"], name: {**step, "peak_gib": round(_peak_gib(), 3)}}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**content, "task": task, "steps": steps}, indent=2)
    with new_file(folder / FILE) as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def changed_at(folder: pathlib.Path) -> int:
    """Nanoseconds at which the cell's file was written; 0 without one."""
    file = folder / FILE
    return file.stat().st_mtime_ns if file.exists() else 0


def plain(value: Any) -> Any:
    """Settings as they read back from JSON, every field by its name."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {n: plain(getattr(value, n)) for n in names if n not in _FOLDERS}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such numbers
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def beside(value: Any, written: Any) -> Any:
    """Settings like `plain`, for a comparison with those that a file has.

    A field that the file lacks is left out if it has its default: it came later, and
    its default is what was done before.

    Args:
        value: settings.
        written: those of a file, as JSON.
    """
    usual: Mapping[str, Any] = {}
    if dataclasses.is_dataclass(value):
        usual = {each.name: each.default for each in dataclasses.fields(value)}
        found = {n: getattr(value, n) for n in usual if n not in _FOLDERS}
    elif hasattr(value, "_asdict"):
        usual, found = value._field_defaults, value._asdict()
    elif isinstance(value, Mapping):
        found = {str(name): each for name, each in value.items()}
    else:
        return plain(value)
    if not isinstance(written, Mapping):
        return plain(value)
    return {
        name: beside(each, written.get(name))
        for name, each in found.items()
        if name in written or name not in usual or each != usual[name]
    }


def _peak_gib() -> float:
    """Peak memory of this program so far: the device's, or else the host's."""
    import jax

    device = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in device:
        return device["peak_bytes_in_use"] / 2**30
    try:
        import resource
    except ImportError:  # as on Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (30 if sys.platform == "darwin" else 20)
