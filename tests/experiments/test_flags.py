"""Flags of all programs together: each defined once, listed where it is used."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
from absl.flags import FLAGS
from absl.testing import flagsaver

import experiments
from advjax.attacks import ATTACKS
from advjax.defences import DEFENCES
from advjax.models import MODELS
from advjax.representations import PRESETS, REPRESENTATIONS
from advjax.smoothing import BOUNDS, NOISES
from data_prep.corpora import CORPORA
from experiments import app, flags, train
from experiments.table_names import names_in

ROOT = pathlib.Path(experiments.__path__[0]).parent

# Imports every module in one process, then tells the flags of each command in its
# input that the program has not declared.
EVERYTHING = """
import importlib, json, pathlib, sys
from absl import flags

for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
for program, given in json.loads(sys.argv[2]):
    known = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(program)}
    known |= {"home", "seed", "compile_cache", "xla_settings"}
    for name in given:
        if name not in known and name.removeprefix("no") not in known:
            print(program, name)
"""


def modules():
    """Every module of the experiments, by name."""
    files = (ROOT / "experiments").rglob("*.py")
    return sorted(
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if file.name != "__init__.py"
    )


def commands():
    """Program and flags of every command that documents and docstrings give."""
    files = [
        ROOT / "README.md",
        *(ROOT / "experiments/results").glob("*/README.md"),
        *(ROOT / "experiments").rglob("*.py"),
    ]
    for file in files:
        text = file.read_text(encoding="utf-8").replace("\\\\\n", " ")
        text = text.replace("\\\n", " ")
        for found in re.finditer(r"python -m (experiments[\w.]+)([^\n`]*)", text):
            given = re.findall(r"\s--(\w+)", found[2])
            yield found[1], given


def test_every_module_can_be_imported_in_one_process_and_commands_have_their_flags():
    asked = [command for command in commands() if command[0] in modules()]
    assert len(asked) > 30
    found = subprocess.run(
        [sys.executable, "-c", EVERYTHING, json.dumps(modules()), json.dumps(asked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("module", "table", "names"),
    [
        ("advjax.representations", "REPRESENTATIONS", REPRESENTATIONS),
        ("advjax.representations", "PRESETS", PRESETS),
        ("advjax.models", "MODELS", MODELS),
        ("advjax.attacks", "ATTACKS", ATTACKS),
        ("advjax.defences", "DEFENCES", DEFENCES),
        ("advjax.smoothing", "NOISES", NOISES),
        ("advjax.smoothing", "BOUNDS", BOUNDS),
        ("data_prep.corpora", "CORPORA", CORPORA),
    ],
)
def test_the_source_of_a_table_has_the_names_of_the_table(module, table, names):
    assert names_in(module, table) == list(names)


def test_a_table_that_is_not_there_is_named():
    with pytest.raises(LookupError, match="advjax.attacks has no dictionary NOISES"):
        names_in("advjax.attacks", "NOISES")


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        (flags.REP, REPRESENTATIONS),
        (flags.FEATURES, [*REPRESENTATIONS, *PRESETS]),
        (flags.MODEL, MODELS),
        (flags.CORPUS, CORPORA),
        (flags.ATTACK, ATTACKS),
        (flags.DEFENCE, DEFENCES),
        (flags.NOISE, NOISES),
        (flags.BOUND, BOUNDS),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_help_names_every_member_of_a_table(flag, names):
    text = FLAGS[flag.name].help
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_a_representation_stands_under_its_own_name():
    assert all(name == cls.name for name, cls in REPRESENTATIONS.items())


@pytest.mark.parametrize("name", ["attack", "certify"])
def test_a_flag_of_another_program_is_refused(monkeypatch, name):
    monkeypatch.setattr(sys, "argv", [train.__name__])
    with (
        flagsaver.as_parsed(sigma="0.5", **{name: "1"}),
        pytest.raises(ValueError, match=f"no flag --{name}: --help lists"),
    ):
        app._start(train.main, several_processes=True)
