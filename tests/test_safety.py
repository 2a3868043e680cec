"""Nothing that is read from a file is unpickled or evaluated."""

import ast
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = [
    path
    for package in ("advjax", "data_prep", "experiments")
    for path in sorted((ROOT / package).rglob("*.py"))
]
UNPICKLERS = {
    # It knows three harmless names, which its tests of hostile files show.
    "advjax/pretrained/tensor_files.py",
    # Processes and the one that started them, over a pipe that nobody else has.
    "advjax/smoothing/counting/worker.py",
    "advjax/smoothing/counting/workers.py",
}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__"}


def offences(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0]}
        else:
            names = set()
        yield from names & MODULES
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield node.func.id
        loads = isinstance(node.func, ast.Attribute) and node.func.attr == "load"
        of_numpy = loads and isinstance(node.func.value, ast.Name)
        if of_numpy and node.func.value.id == "np":
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            allowed = options.get("allow_pickle")
            if not (isinstance(allowed, ast.Constant) and allowed.value is False):
                yield "np.load without allow_pickle=False"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_source_unpickles_or_evaluates(path):
    found = set(offences(ast.parse(path.read_text())))
    known = path.relative_to(ROOT).as_posix() in UNPICKLERS
    assert found == ({"pickle"} if known else set())


@pytest.mark.parametrize(
    "text", ["import pickle", "from joblib import load", "eval('1')", "np.load('x')"]
)
def test_the_search_finds_offences(text):
    assert list(offences(ast.parse(text)))


def test_a_record_file_with_objects_is_refused(tmp_path):
    from advjax import records
    from advjax.representations import Waveform

    wave = Waveform(num_samples=8)
    example = {
        "id": "a",
        "audio": np.zeros(8, np.int16),
        "features": np.zeros(8, np.float32),
        "label": 0,
        "speaker": "s",
    }
    folder = tmp_path / "r"
    records.write(
        folder,
        {"test": [example]},
        name="tiny",
        representation=wave,
        labels=("s",),
        file_format="npz",
    )
    (array,) = folder.rglob("features.npy")
    np.save(array, np.asarray([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError):
        records.load(records.read(folder, "test"))
