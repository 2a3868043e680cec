import json
import os
import pathlib
import subprocess
import sys

import pytest

from experiments.benchmarks import parts
from experiments.benchmarks.parts import Part, Row, Size, processes, reports

ROOT = pathlib.Path(__file__).parents[3]
LACKING = [
    "array_record", "art", "beartype", "foolbox", "grain", "importlib_resources",
    "librosa", "mahotas", "orbax", "python_speech_features", "pywt", "sklearn",
    "soundfile", "statsmodels", "tensorflow", "tensorflow_datasets", "torchattacks",
    "torchax",
]  # fmt: skip
BLOCKED = f"""
import importlib.abc, pkgutil, runpy, sys
class Lacking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LACKING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Lacking())
"""
IMPORTS = """
import experiments.benchmarks.accelerator, experiments.benchmarks.parts as parts
for found in pkgutil.iter_modules(parts.__path__):
    __import__(f"experiments.benchmarks.parts.{found.name}")
print("imported")
"""
HELP = """
sys.argv = ["accelerator", "--help"]
runpy.run_module("experiments.benchmarks.accelerator", run_name="__main__")
"""
SIZE = Size(True, 2, [], [], "")


def python(program, **options):
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, encoding="utf-8", **options,
    )  # fmt: skip


@pytest.mark.slow
def test_the_program_needs_none_of_what_an_accelerators_machine_lacks():
    done = python(BLOCKED + IMPORTS)
    assert done.stdout == "imported\n", done.stderr
    done = python(BLOCKED + HELP)
    assert "--minutes" in done.stdout and "small" in done.stdout, done.stderr


def test_parts_are_in_order_of_worth_and_have_one_name_each():
    names = [part.name for part in parts.plan([2, 8])]
    assert names[:3] == ["truth", "certify mfbe 8", "certify waveform 8"]
    assert names[-2:] == ["certify mfbe 2", "certify waveform 2"]
    assert len(set(names)) == len(names)
    for part in parts.plan([2, 8]):
        module, name = part.function.split(":")
        source = (ROOT / "experiments/benchmarks/parts" / f"{module}.py").read_text()
        assert f"\ndef {name}(size: Size" in source


def told(monkeypatch, program, limit_s=60.0):
    """Rows of a part whose process runs another program."""
    popen = subprocess.Popen

    def start(command, **options):
        return popen([*command[:2], program, *command[3:]], **options)

    monkeypatch.setattr(processes.subprocess, "Popen", start)
    return list(processes.rows_of(Part("a", "b:c", 1.0), SIZE, limit_s))


def test_rows_of_a_part_that_dies_are_kept_and_its_end_is_a_row(monkeypatch):
    row = Row("w", "n", "ours", 2.0, "votes/s")
    program = f"print({json.dumps(json.dumps(row._asdict()))})\nraise SystemExit(3)"
    found = told(monkeypatch, program)
    assert found[0] == row
    assert found[1].kind == "failed" and "exit code 3" in found[1].note


def test_a_part_over_its_limit_is_killed_and_says_so(monkeypatch):
    (found,) = told(monkeypatch, "import threading; threading.Event().wait()", 0.1)
    assert found.kind == "failed" and "over the limit of 0 s" in found.note


def test_a_part_that_raises_is_a_row_with_the_reason():
    found = list(processes.rows_of(Part("a", "nowhere:c", 1.0), SIZE, 60.0))
    assert "versions" in found[0]["setting"]
    assert found[1].kind == "failed" and "nowhere" in found[1].note


def test_ratios_are_to_the_best_rival_at_the_same_work():
    rows = [
        Row("a", "ours", "ours", 6.0),
        Row("a", "slow", "torch", 2.0),
        Row("a", "fast", "torch", 4.0),
        Row("a", "bound", "ceiling", 9.0),
        Row("b", "fast elsewhere", "torch", 100.0),
        Row("a", "broken", "failed"),
        Row("a", "weak", "weaker", 50.0),
    ]
    assert [reports.times(row, rows) for row in rows] == [
        "1.50", "0.50", "1.00", "–", "1.00", "–", "12.50",
    ]  # fmt: skip


def test_the_report_is_whole_after_every_row(tmp_path):
    report = reports.Report(tmp_path / "out", "python -m a program")
    rows = report.rows.setdefault("truth", [])
    for number in range(2):
        rows.append(Row("truth", f"check {number}", "wrong", 0.5, note="why"))
        text = report.write()
        assert (tmp_path / "out" / "accelerator.md").read_text() == text.rstrip() + "\n"
        spelled = json.loads((tmp_path / "out" / "accelerator.json").read_text())
        assert [Row(**row) for row in spelled["parts"][0]["rows"]] == rows
    assert "| wrong |" in text and "none has" in text


def start(out, *more):
    command = [
        *(sys.executable, "-m", "experiments.benchmarks.accelerator", "--small"),
        *("--widths=2", "--tiles=4", "--batches=4", f"--out={out}", *more),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, encoding="utf-8", **pipes)


@pytest.mark.slow
def test_a_cut_leaves_what_is_done(tmp_path):
    process = start(tmp_path, "--parts=truth", f"--home={tmp_path / 'home'}")
    # A row is told before it is written; at the second one the first is there.
    told = (line for line in process.stderr if "half space" in line)
    assert next(told) and next(told)
    process.kill()
    process.communicate()
    spelled = json.loads((tmp_path / "accelerator.json").read_text())
    assert spelled["setting"]["device"] and spelled["parts"][0]["seconds"] is None
    assert "half space" in (tmp_path / "accelerator.md").read_text()


@pytest.mark.slow
def test_every_part_runs_at_a_tiny_size(tmp_path):
    pytest.importorskip("torch")
    process = start(tmp_path, "--minutes=20", f"--home={tmp_path / 'home'}")
    text, errors = process.communicate()
    assert process.returncode == 0, errors
    spelled = json.loads((tmp_path / "accelerator.json").read_text())
    assert [each["part"] for each in spelled["parts"]] == [
        part.name for part in parts.plan([2])
    ]
    rows = [row for part in spelled["parts"] for row in part["rows"]]
    assert not [row for row in rows if row["kind"] in ("failed", "wrong")], errors
    assert all(row["figure"] is not None for row in rows)
    assert {"ours", "torch", "published", "ceiling", "check"} <= {
        row["kind"] for row in rows
    }
    assert spelled["setting"]["command"].startswith("python -m experiments.benchmarks")
    assert (tmp_path / "accelerator.md").read_text().strip() == text.strip()
    assert not os.path.exists(tmp_path / "accelerator.png")
