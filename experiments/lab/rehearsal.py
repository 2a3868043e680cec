"""Compilation of programs for devices that this machine does not have.

Each program is compiled in a process of its own, with a time limit, and has a row in a
file of its own. A start keeps the rows that are there.
"""

import collections
import fnmatch
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from advjax.runtime import compiled_text, failures, targets
from advjax.runtime.atomic import new_file
from advjax.runtime.json_files import Anything, read_json
from advjax.runtime.kernels import OTHER, Kernel, kernels
from advjax.runtime.memory import largest_that_fits, program_memory
from advjax.runtime.topologies import (
    TARGETS,
    Roofline,
    Target,
    mesh_of,
    roofline,
)
from experiments.lab.console import say
from experiments.lab.rehearsal_programs import PROGRAMS, Program

ROOT = pathlib.Path(__file__).parents[2]
_COMPILE = f"import sys; from {__name__} import work; work(*sys.argv[1:])"
_MOST_PASSES = 25
"""Kinds of kernels of a row, those with the most bytes."""


def names_for(target: str, patterns: Sequence[str]) -> list[str]:
    """Names of a target's programs that match a pattern.

    Raises:
        ValueError: no such target, or a pattern that matches none.
    """
    if target not in TARGETS:
        raise ValueError(
            f"--target={target}: no such machine; there are {', '.join(TARGETS)}"
        )
    platform = TARGETS[target].platform
    own = [name for name, each in PROGRAMS.items() if platform in each.platforms]
    for pattern in patterns:
        if not fnmatch.filter(PROGRAMS, pattern):
            raise ValueError(
                f"--programs={pattern}: no program has such a name; there are "
                f"{', '.join(PROGRAMS)}"
            )
    return [n for n in own if any(fnmatch.fnmatch(n, each) for each in patterns)]


def rehearse(
    target: str,
    names: Sequence[str],
    out: pathlib.Path,
    *,
    minutes: float,
    origin: Mapping[str, Any],
) -> None:
    """Compile the programs that have no row in `out` yet.

    Args:
        target: one of `TARGETS`.
        names: of programs.
        out: folder of the rows.
        minutes: time limit of a program.
        origin: of the code, for each row.

    Raises:
        ModuleNotFoundError: the target's compiler is missing.
    """
    failures.need(TARGETS[target].module)
    for number, name in enumerate(names, 1):
        file = out / target / f"{name}.json"
        if _is_settled(file, minutes):
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        row = {"target": target, "program": name, **_in_a_process(file, minutes)}
        _write(file, row | dict(origin))
        say(f"{number} of {len(names)}  {target}  {name}: {in_short(row)}")


def rows(out: pathlib.Path) -> list[Mapping[str, Any]]:
    """The rows in a folder, in the order of the table."""
    files = [out / t / f"{name}.json" for t in TARGETS for name in PROGRAMS]
    return [read_json(file, Anything()) for file in files if file.exists()]


def in_short(row: Mapping[str, Any]) -> str:
    """A row on one line."""
    if "why" in row:
        return row["why"]
    return (
        f"{row['seconds']:.0f} s, {row['memory_bytes'] / 2**30:.2f} GiB, "
        f"{row['per_s']:,.3g} {row['unit']}/s by {row['bound']}"
    )


def _is_settled(file: pathlib.Path, minutes: float) -> bool:
    """True if a row is there, and not of a failure or a shorter time limit."""
    if not file.exists():
        return False
    row = read_json(file, Anything())
    return "why" not in row or row.get("minutes", 0) >= minutes


def _in_a_process(file: pathlib.Path, minutes: float) -> dict[str, Any]:
    """The row of a program, compiled in another process."""
    start, answer = time.monotonic(), file.absolute().with_suffix(".part")
    command = [sys.executable, "-c", _COMPILE, file.parent.name, file.stem, str(answer)]
    log = file.with_suffix(".log")
    try:
        # The compilers print a page of warnings.
        with log.open("wb") as out:
            done = subprocess.run(
                command, cwd=ROOT, stdout=out, stderr=out, timeout=60 * minutes,
                check=False,
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        why = f"not ended in {minutes:g} minutes"
        return {"why": why, "minutes": minutes, "seconds": 60 * minutes}
    if not answer.exists():
        why = f"ended with exit code {done.returncode}: see {log.name}"
        return {"why": why, "seconds": round(time.monotonic() - start, 1)}
    found = json.loads(answer.read_text("utf-8"))
    answer.unlink()
    log.unlink()
    return found


def work(target: str, name: str, answer: str) -> None:
    """Compile a program, and write the rest of its row."""
    try:
        found = compile_for(TARGETS[target], PROGRAMS[name])
    except Exception as error:  # noqa: BLE001  its line is the row
        found = {"why": failures.in_one_line(error)}
    _write(pathlib.Path(answer), found)


def _write(file: pathlib.Path, row: Mapping[str, Any]) -> None:
    with new_file(file) as aside:
        aside.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


def compile_for(target: Target, program: Program) -> dict[str, Any]:
    """The facts of a program compiled for a target, at the largest size that fits.

    Raises:
        MemoryError: not even a size of 1 fits.
    """
    mesh = mesh_of(target)
    own = targets.STOCK_FORMS[target.platform]
    forms = own if program.forms is None else program.forms
    with targets.compiling_for(target.platform), targets.choosing_forms(forms):
        asked, seconds, compiled = program.size(), 0.0, None

        def fits(size: int) -> bool:
            nonlocal seconds, compiled
            start = time.monotonic()
            function, arguments = program.build(mesh, size)
            compiled = function.lower(*arguments).compile()
            seconds = time.monotonic() - start
            return program_memory(compiled) <= target.memory_bytes

        size = largest_that_fits(asked, fits)
    if size is None:
        raise MemoryError("not even a size of 1 fits the device")
    found = kernels(compiled_text.parse(compiled.as_text()))
    return {
        "precision": program.precision,
        program.size_name: size,
        "asked": asked,
        "seconds": round(seconds, 1),
        "memory_bytes": program_memory(compiled),
        "device_bytes": target.memory_bytes,
        "unit": program.unit,
        **_work_of(target, program, found, program.units(mesh.size, size)),
    }


def _work_of(
    target: Target, program: Program, found: Sequence[Kernel], units: int
) -> dict[str, Any]:
    """Operations, bytes and the least time of a run, or of a round of its loop."""
    inside = [each for each in found if each.loops or not program.in_loop]
    line: Roofline = roofline(target, inside)
    products = collections.Counter()
    passes: dict[str, list[float]] = {}
    for each in inside:
        if each.kind != OTHER:
            products[f"{each.kind} {each.label} {each.precision}"] += each.times
        counted = passes.setdefault(f"{each.label} {each.precision}".strip(), [0, 0])
        counted[0] += each.times
        counted[1] += each.times * each.num_bytes
    largest = sorted(passes.items(), key=lambda item: -item[1][1])[:_MOST_PASSES]
    return {
        "units": units,
        "flops": sum(each.times * each.flops for each in inside),
        "bytes": round(sum(each.times * each.num_bytes for each in inside)),
        "least_bytes": sum(each.times * each.least_bytes for each in inside),
        "flops_s": line.flops_s,
        "bytes_s": line.bytes_s,
        "per_s": units / line.seconds,
        "bound": line.bound,
        "one_by_one_per_s": units / line.one_by_one_s,
        "products": dict(products),
        "passes": [[label, *counted] for label, counted in largest],
    }
