"""The requirements of the package cover what it imports."""

import ast
import functools
import importlib.metadata
import pathlib
import re
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
    """What an environment for the wheel without extras would not have."""
    kept = closure(distributions())
    return {module for module, names in providers().items() if not names & kept} - OURS


def test_without_extras_there_is_what_records_need_and_no_pictures():
    hidden = hidden_packages()
    assert {"matplotlib", "pytest", "mahotas"} <= hidden
    assert not {"array_record", "importlib_resources", "soundfile", "jax"} & hidden
