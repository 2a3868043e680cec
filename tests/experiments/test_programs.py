"""The command `advjax`, and the help of every program."""

import os
import re
import subprocess
import sys

import pytest

import advjax
from data_prep import help
from experiments import programs

COMMAND = "import sys; from experiments.programs import main; main()"
# Fails where the help of a program needs JAX.
NO_JAX = """
import sys
sys.modules["jax"] = None
from data_prep import help
from experiments import programs
for module in programs.programs().values():
    print(module, help.answer(["--help"], lambda: programs.page_of(module)))
"""

# Half of a start's imports would be these: a second or two.
CERTIFY = """
import sys
import experiments.certify, experiments.requests
from experiments.lab import certify, certify_report, shared_runs
slow = {"scipy.stats", "scipy.optimize", "matplotlib", "tensorflow", "librosa", "pywt"}
assert not slow & set(sys.modules), slow & set(sys.modules)
"""


def advjax_command(*arguments, cwd=None):
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(programs.ROOT)},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_command_lists_the_programs(arguments):
    code, out, errors = advjax_command(*arguments)
    assert (code, errors) == (0, "")
    assert programs.overview() in out


def test_a_program_s_help_is_that_of_the_module_but_for_the_start(monkeypatch):
    monkeypatch.delenv(help.COMMAND, raising=False)
    code, out, errors = advjax_command("certify", "--help")
    assert (code, errors) == (0, "")
    module = subprocess.run(
        [sys.executable, "-m", "experiments.certify", "-h"],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert module.startswith("usage: python -m experiments.certify ")
    assert out == module.replace("python -m experiments.", "advjax ")
    groups = re.findall(r"^(\w.*):$", out, re.MULTILINE)[-5:]
    assert groups == [
        "audio, features and network",
        "certificates",
        "output",
        "devices and processes",
        "help and failures",
    ]
    assert out.index("--rep=") < out.index("--sigma=") < out.index("--corpus=")


def test_help_of_every_program_imports_no_jax():
    done = subprocess.run(
        [sys.executable, "-c", NO_JAX],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for module in programs.programs().values():
        assert f"\n{module} True\n" in done.stdout
    assert done.stdout.count("usage: ") == len(programs.programs())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cerify", "Did you mean 'certify'?"),
        ("sound_events", "Did you mean 'studies.sound_events'?"),
        ("app", ""),
    ],
)
def test_a_misspelled_program_gets_a_hint(name, hint):
    code, out, errors = advjax_command(name, "--rep=mfbe")
    assert (code, out) == (2, "")
    assert f"no program {name!r}.{' ' * bool(hint)}{hint} (advjax --help" in errors
    assert errors.count("\n") == 1


def test_a_wrong_flag_names_the_command_that_lists_flags():
    code, out, errors = advjax_command("train", "--sigm=1")
    assert (code, out) == (1, "")
    assert errors == (
        "error: there is no flag --sigm. Did you mean '--sigma'? "
        "(advjax train --help lists the flags)\n"
    )


def test_the_command_finds_its_programs_beside_a_folder_of_their_name(tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").write_text("raise SystemExit(3)")
    code, out, errors = advjax_command("--version", cwd=tmp_path)
    assert (code, out, errors) == (0, f"advjax {advjax.__version__}\n", "")
    code, out, errors = advjax_command("report", cwd=tmp_path)
    assert code == 1 and "--runs=" in errors


def test_a_program_of_data_prep_runs_by_the_command():
    code, out, errors = advjax_command("data_prep.build", "--corpus=voices")
    assert (code, out) == (1, "")
    assert errors.count("\n") == 1 and "give --out=VALUE" in errors


def test_a_certificate_waits_for_no_package_that_it_does_not_use():
    subprocess.run([sys.executable, "-c", CERTIFY], check=True)
