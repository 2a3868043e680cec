"""Flags of all programs together: each defined once, listed where it is used."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags as absl_flags
from absl.flags import FLAGS
from absl.testing import flagsaver

import experiments
from advjax.attacks import ATTACKS
from advjax.defences import DEFENCES
from advjax.models import MODELS
from advjax.pretrained import NETWORKS
from advjax.representations import PRESETS, REPRESENTATIONS
from advjax.smoothing import BOUNDS, NOISES
from data_prep.corpora import CORPORA
from experiments import app, flags, train
from experiments.benchmarks import flags as benchmark_flags
from experiments.programs import programs as program_modules

ROOT = pathlib.Path(experiments.__path__[0]).parent

# Imports every module in one process, then prints the flags of each program that the
# program has not declared: of the commands given for it, and those it reads.
EVERYTHING = """
import importlib, json, sys
from absl.flags import FLAGS
from experiments import programs

modules, given = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for module in modules:
    importlib.import_module(module)
for program in json.loads(sys.argv[3]):
    main = program if program in modules else f"{program}.__main__"
    key = sorted(flag.name for flag in FLAGS.get_key_flags_for_module(main))
    assert sorted(set(programs.declared(program))) == key, program
for program, names in given:
    known = {flag.name for flag in FLAGS.get_key_flags_for_module(program)}
    known |= {"home", "seed", "compile_cache", "xla_settings", "convolutions"}
    for name in names:
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


def readings():
    """Program and flags that its source reads, itself or by a request."""
    for module in modules():
        file = ROOT / (module.replace(".", "/") + ".py")
        source = file.read_text(encoding="utf-8")
        if "flags.declare(" not in source:
            continue
        _, _, body = source.partition("flags.declare(")[2].partition("\n\n")
        if file.name == "__main__.py":
            parts = file.parent.glob("*.py")
            body += "".join(part.read_text(encoding="utf-8") for part in parts)
        read = [
            getattr(flags if room == "flags" else benchmark_flags, name).name
            for room, name in re.findall(r"\b(flags|bench)\.([A-Z][A-Z0-9_]*)\b", body)
            if not name.endswith("FLAGS")
        ]
        if "requests.task(" in body or "requests.draft(" in body:
            read += [flag.name for flag in (*flags.MODEL_FLAGS, *flags.DATA_FLAGS)]
        if "requests.certified(" in body:
            read += [flag.name for flag in (*flags.MODEL_FLAGS, *flags.DATA_FLAGS)]
            read += [flag.name for flag in flags.CERTIFY_FLAGS]
            read += [flags.PRESET.name, flags.NUM_POINTS.name, flags.WORKDIR.name]
        if "requests.announce(" in body:
            read += [flags.PRESET.name]
        yield module, read


def test_modules_share_one_process_and_programs_declare_their_flags():
    known = modules()
    programs = {name.removesuffix(".__main__"): name for name in known}
    asked = [(programs[name], given) for name, given in commands() if name in programs]
    assert len(asked) > 30
    ours = [each for each in program_modules().values() if "data_prep" not in each]
    read = list(readings())
    assert len(read) > 15
    found = subprocess.run(
        [sys.executable, "-c", EVERYTHING]
        + [json.dumps(modules()), json.dumps(asked + read), json.dumps(ours)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        (flags.REP, REPRESENTATIONS),
        (flags.FEATURES, [*REPRESENTATIONS, *PRESETS]),
        (flags.MODEL, [*MODELS, *NETWORKS]),
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


@pytest.mark.parametrize(("name", "value"), [("attack", "fgsm"), ("certify", "1")])
def test_a_flag_of_another_program_is_refused(monkeypatch, name, value):
    monkeypatch.setattr(sys, "argv", [train.__name__])
    with (
        flagsaver.as_parsed(sigma="0.5", **{name: value}),
        pytest.raises(ValueError, match=f"no flag --{name}\\b"),
    ):
        app._start(train.main, several_processes=True)


def test_help_of_every_flag_says_its_default():
    silent = []
    for each in (*vars(flags).values(), *vars(benchmark_flags).values()):
        if isinstance(each, absl_flags.FlagHolder):
            flag = FLAGS[each.name]
            words = re.search("default|required|by default", flag.help, re.IGNORECASE)
            if flag.default in (None, []) and not words:
                silent.append(flag.name)
    assert silent == []


def test_a_flag_has_one_place_in_help():
    names = [flag.name for group in flags.GROUPS.values() for flag in group]
    assert len(names) == len(set(names))
    ours = [
        each.name
        for each in vars(flags).values()
        if isinstance(each, absl_flags.FlagHolder)
    ]
    assert sorted(names) == sorted(ours)
