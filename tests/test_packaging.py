"""The requirements cover what is imported, and what the first command needs."""

import ast
import functools
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import advjax

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRED = PROJECT["dependencies"]
OURS = {"advjax", "data_prep", "experiments", "tests"}
# Imported only if it is there already: tensorflow costs too much to ask for, and
# jaxlib is the half of jax that jax itself asks for. jax2onnx asks for an older orbax,
# so it is installed without its requirements.
UNASKED = {"tensorflow", "jaxlib", "jax2onnx"}


# Hides packages, as if they were not installed.
ALONE = """
import sys

class Alone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Alone())
"""


def distributions(*extras: str) -> set[str]:
    """Names of what pyproject.toml asks for, with these extras."""
    found = {canonicalize_name(Requirement(each).name) for each in REQUIRED}
    for extra in extras:
        for text in PROJECT["optional-dependencies"][extra]:
            need = Requirement(text)
            if need.name == PROJECT["name"]:
                found |= distributions(*need.extras)
            else:
                found.add(canonicalize_name(need.name))
    return found


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
        (sources("advjax", "data_prep"), ("svm", "interop", "openvino")),
        (
            sources("experiments", without="benchmarks"),
            ("svm", "bench", "interop", "openvino", "tensorboard"),
        ),
        (sources("tests"), ("test", "interop", "openvino", "tensorboard")),
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
        for extras in re.findall(r"advjax\[([a-z0-9,-]+)\]", path.read_text("utf-8")):
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


def test_without_extras_there_is_what_the_first_command_needs():
    hidden = hidden_packages()
    assert {"pytest", "mahotas", "foolbox"} <= hidden
    needed = {"array_record", "importlib_resources", "jax", "matplotlib", "soundfile"}
    assert not needed & hidden


def test_the_extra_all_has_every_extra_but_those_of_accelerators():
    extras = PROJECT["optional-dependencies"].keys() - {
        "all",
        "cuda12",
        "cuda13",
        "tpu",
        "rehearse-gpu",
        "rehearse-tpu",
    }
    assert distributions("all") == distributions(*extras)
    assert {"ruff", "pre-commit", "import-linter", "pytest"} <= distributions("dev")


def test_the_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {advjax.__version__}\n" in citation
    assert "version" in PROJECT["dynamic"]


def test_every_constraint_file_has_the_same_packages():
    names = [
        {line.partition("==")[0] for line in path.read_text("utf-8").split()}
        for path in sorted(ROOT.glob("constraints-*.txt"))
    ]
    assert len(names) == 3
    # librosa 1.0, for Python 3.12 on, needs no audioread.
    assert names[0] - {"audioread"} == names[1] == names[2]
    # torch is pinned in pyproject.toml; its rivals need it.
    rivals = {"torch", "adversarial-robustness-toolbox", "scikit-learn"}
    assert distributions("dev") - rivals <= names[1]


def run(command: list, check: bool = True, **more) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=1800, **more
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """A wheel of the tracked files, without the results, as on a copied checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: setuptools builds inside the folder that it is given.
    copy = folder / "copy"
    command = ["git", "-C", ROOT, "ls-files", "-z", "--", ":!tests"]
    for name in run(command).stdout.split("\0")[:-1]:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", folder / "dist", copy]
    run([sys.executable, "-m", "pip", *build])
    (found,) = (folder / "dist").iterdir()
    return found


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> pathlib.Path:
    """The folder of programs of an environment that has the wheel without extras.

    Where no index can be reached, what the wheel requires is this environment's, and
    the rest of it is hidden.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    version = "{}.{}".format(*sys.version_info)
    constraints = ["--constraint", ROOT / f"constraints-{version}.txt"]
    done = run([*pip, "--no-compile", *constraints, wheel], check=False)
    print("installed from the index" if done.returncode == 0 else done.stderr[-500:])
    if done.returncode:
        run([*pip, "--no-deps", "--no-index", wheel])
        site = folder / "lib" / f"python{version}" / "site-packages"
        (site / "alone.py").write_text(ALONE.format(hidden=hidden_packages()), "utf-8")
        here = sysconfig.get_path("purelib")
        (site / "alone.pth").write_text(f"{here}\nimport alone\n", "utf-8")
    return folder / "bin"


@pytest.mark.slow
def test_the_wheel_holds_the_programs_and_no_results(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    assert "advjax/py.typed" in names
    assert {"experiments/certify.py", "data_prep/build.py"} <= {*names}
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if "." not in top} == {
        *("advjax", "data_prep", "experiments")
    }
    assert not [name for name in names if name.startswith("experiments/results")]
    assert "Author: The advjax authors" in text
    assert f"Version: {advjax.__version__}" in text


@pytest.mark.slow
def test_the_wheel_without_extras_runs_its_first_command(programs, tmp_path):
    empty = tmp_path / "empty"
    # A folder of the user's, with the name of ours.
    (empty / "experiments").mkdir(parents=True)
    (empty / "experiments" / "__init__.py").write_text("raise ImportError('not this')")
    flags = [
        *("--rep=mfbe", "--sigma=0.25", f"--home={tmp_path / 'home'}"),
        "--corpus=voices(num_speakers=3,minutes_per_speaker=0.5)",
        "--model=rescnn(width=2,embedding_size=8)",
        *("--num_steps=3", "--batch_size=16", "--num_points=4"),
        *("--num_selection=10", "--num_estimation=100", "--alpha=0.01"),
    ]
    clean = {name: text for name, text in os.environ.items() if name[:2] != "PY"}
    start = {"cwd": empty, "env": clean | {"JAX_PLATFORMS": "cpu"}}
    assert run([programs / "advjax", "--version"], **start).stdout == (
        f"advjax {advjax.__version__}\n"
    )
    assert "\nresearch:\n" in run([programs / "advjax"], **start).stdout
    first = run([programs / "advjax", "certify", *flags], **start)
    print(first.stdout)
    assert "Traceback" not in first.stderr
    (report,) = tmp_path.rglob("report.md")
    assert "![certified accuracy over the radius](curve.png)" in report.read_text(
        "utf-8"
    )
    assert (report.parent / "curve.png").read_bytes()[:4] == b"\x89PNG"
    # The same program by its module finds the run finished and reports it again.
    rows = {path: path.read_bytes() for path in report.parent.glob("rows*.tsv")}
    module = [programs / "python", "-P", "-m", "experiments.certify", *flags]
    again = run(module, **start)
    assert "error" not in again.stderr
    assert rows == {path: path.read_bytes() for path in report.parent.glob("rows*.tsv")}
    verify = [programs / "advjax", "data_prep.verify", "--num_records=3"]
    (records,) = {path.parent for path in tmp_path.rglob("dataset_info.json")}
    assert "no problems" in run([*verify, f"--records={records}"], **start).stdout
