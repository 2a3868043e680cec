"""The requirements cover what is imported, and what the first command needs."""

import ast
import functools
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OURS = {"advjax", "data_prep", "experiments", "tests"}
# Imported only if it is there already: tensorflow costs too much to ask for, and
# jaxlib is the half of jax that jax itself asks for.
UNASKED = {"tensorflow", "jaxlib"}


# Lets only some packages be imported, as if the others were not installed.
ALONE = """
import os, runpy, sys

class Alone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["HIDDEN"].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Alone())
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def distributions(*extras: str) -> set[str]:
    """Names of what pyproject.toml asks for, with these extras."""
    asked = [*PROJECT["dependencies"]]
    for extra in extras:
        asked += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(each).name) for each in asked}


@functools.cache
def providers() -> dict[str, set[str]]:
    """The distributions that hold each importable package."""
    found = importlib.metadata.packages_distributions()
    return {
        module: {canonicalize_name(name) for name in names}
        for module, names in found.items()
    }


def imported(paths: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    """Packages that the files import anywhere, each with a file that does."""
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                found.setdefault(name.partition(".")[0], path)
    strange = found.keys() - sys.stdlib_module_names - OURS - UNASKED
    return {name: found[name] for name in strange}


def sources(*folders: str, without: str = "") -> list[pathlib.Path]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [path for path in paths if not without or without not in path.parts]


@pytest.mark.parametrize(
    ("paths", "extras"),
    [
        (sources("advjax", "data_prep"), ("plots", "svm")),
        (sources("experiments", without="benchmarks"), ("plots", "svm", "bench")),
        # The judges in tests come with the extras of a developer.
        (sources("tests"), ("plots", "svm", "test")),
    ],
    ids=["the library", "the programs", "the tests"],
)
def test_whatever_is_imported_is_asked_for(paths, extras):
    asked = distributions(*extras)
    unasked = {
        name: path.relative_to(ROOT)
        for name, path in imported(paths).items()
        if not providers().get(name, {canonicalize_name(name)}) & asked
    }
    assert not unasked


def test_the_extra_of_every_message_exists():
    known = PROJECT["optional-dependencies"]
    for path in [*sources("advjax", "data_prep", "experiments"), ROOT / "README.md"]:
        for extras in re.findall(r"advjax\[([a-z0-9,]+)\]", path.read_text("utf-8")):
            assert set(extras.split(",")) <= set(known), path


def closure(names: set[str]) -> set[str]:
    """The distributions with all that they need in turn, as pip would install them."""
    found: set[str] = set()
    waiting = [(name, frozenset[str]()) for name in names]
    seen = set()
    while waiting:
        name, extras = each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            need = Requirement(text)
            environments = [{"extra": extra} for extra in (extras or {""})]
            marker = need.marker
            if marker is None or any(map(marker.evaluate, environments)):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    return found


def hidden_packages() -> set[str]:
    """Packages that an environment for the wheel without extras lacks."""
    kept = closure(distributions())
    return {module for module, names in providers().items() if not names & kept} - OURS


def test_without_extras_there_is_what_records_need_and_no_pictures():
    hidden = hidden_packages()
    assert {"matplotlib", "pytest", "mahotas"} <= hidden
    assert not {"array_record", "importlib_resources", "soundfile", "jax"} & hidden


@pytest.mark.slow
def test_the_wheel_without_extras_runs_its_first_command(tmp_path):
    wheels, site, empty = (tmp_path / name for name in ("wheels", "site", "empty"))
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    # A copy: setuptools builds inside the folder that it is given.
    copy = tmp_path / "copy"
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", ":!experiments/results"]
    for name in subprocess.check_output(command, text=True).split("\0")[:-1]:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*pip, *build, str(copy)], check=True, timeout=900)
    (wheel,) = wheels.iterdir()
    install = ["install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([*pip, *install], check=True, timeout=900)

    (tmp_path / "alone.py").write_text(ALONE, "utf-8")
    done = subprocess.run(
        [
            *(sys.executable, str(tmp_path / "alone.py"), "experiments.certify"),
            *("--rep=mfbe", "--sigma=0.25", f"--home={empty}"),
            "--corpus=voices(num_speakers=3,minutes_per_speaker=0.5)",
            "--model=rescnn(width=2,embedding_size=8)",
            *("--num_steps=3", "--batch_size=16", "--num_points=4"),
            *("--num_selection=10", "--num_estimation=100", "--alpha=0.01"),
        ],
        cwd=empty,
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "HIDDEN": ",".join(hidden_packages()),
            "JAX_PLATFORMS": "cpu",
        },
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "advjax[plots]" in done.stdout + done.stderr
    (report,) = empty.rglob("report.md")
    assert "Certified" in report.read_text("utf-8")
    for text in (report.read_text("utf-8"), done.stdout, done.stderr):
        assert "curve.png" not in text
    assert not list(empty.rglob("*.png"))
