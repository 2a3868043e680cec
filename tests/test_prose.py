"""First lines of docstrings, and phrases that a reader cannot follow."""

import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
RIDDLES = {"Nothing", "What", "How", "Whether"}
PHRASES = ("from memory", "SYSTEMS", "as the issue")


def riddles(source):
    """The first lines of docstrings that begin with a question or with nothing."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds):
            line = (ast.get_docstring(node) or "").partition("\n")[0]
            if re.split(r"\W", line)[0] in RIDDLES:
                yield line


@pytest.mark.parametrize("package", ["advjax", "data_prep", "experiments"])
def test_docstrings_begin_with_the_thing_or_an_imperative(package):
    found = [
        f"{file.relative_to(ROOT)}: {line}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for line in riddles(file.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('"""Nothing; checks."""', 1),
        ('"""Whole clips."""', 0),
        ('def f():\n    """What is found."""', 1),
        ('class C:\n    def f(self):\n        """How many."""', 1),
        ('def f():\n    """Number of votes.\n\n    What is left."""', 0),
        ("def f():\n    pass", 0),
    ],
)
def test_the_search_itself(source, count):
    assert len(list(riddles(source))) == count


def test_no_file_leans_on_plans_or_on_memory():
    if not (ROOT / ".git").exists():
        pytest.skip("tracked files are those of a checkout")
    command = ["git", "grep", "-nI"]
    for phrase in PHRASES:
        command += ["-e", phrase]
    command += ["--", ":/", ":!tests/test_prose.py"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
