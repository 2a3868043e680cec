"""Text files are UTF-8 whatever the locale says."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]


# Where the mode of a call that opens a file stands, counted from the path.
MODE = {"open": 1, "fdopen": 1, "NamedTemporaryFile": 0, "TemporaryFile": 0}
NOT_FILES = {"os", "wave", "zipfile", "archive", "prepared", "self"}


def without_encoding(source):
    """The lines of calls that read or write text in the encoding of the locale."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if "encoding" not in given and is_text(node, name, given):
                yield node.lineno


def is_text(node, name, given):
    if name in ("run", "Popen", "check_output"):
        return bool({"text", "universal_newlines"} & set(given))
    if name in ("read_text", "write_text"):
        return len(node.args) <= (name == "write_text")
    owner = getattr(node.func, "value", None)
    if name not in MODE or getattr(owner, "id", "") in NOT_FILES and name == "open":
        return False
    of_path = name == "open" and owner is not None
    at = MODE[name] - of_path
    mode = given.get("mode", node.args[at] if len(node.args) > at else None)
    if mode is None:
        return not name.endswith("File")  # those are binary by default
    return "b" not in str(getattr(mode, "value", ""))


@pytest.mark.parametrize("package", ["advjax", "data_prep", "experiments"])
def test_every_text_file_names_its_encoding(package):
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for line in without_encoding(file.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    "call, count",
    [
        ("path.read_text()", 1),
        ("path.read_text('utf-8')", 0),
        ("path.write_text(x)", 1),
        ("path.write_text(x, encoding='utf-8')", 0),
        ("open(path)", 1),
        ("open(path, 'rb')", 0),
        ("open(path, 'w', encoding='utf-8')", 0),
        ("path.open('w', newline='')", 1),
        ("path.open()", 1),
        ("path.open('wb')", 0),
        ("os.open(path, os.O_RDONLY)", 0),
        ("os.fdopen(1, 'w')", 1),
        ("subprocess.run(x, text=True)", 1),
        ("subprocess.run(x)", 0),
    ],
)
def test_the_search_itself(call, count):
    assert len(list(without_encoding(call))) == count
