"""launch.sh as a person meets it, with a Python and a pip that only pretend."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from experiments import programs

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Answers what launch.sh asks of a Python; "pip" writes what it was told to $PIP_LOG,
# fails when $PIP_FAILS says after which line, and dawdles for $PIP_SLEEP seconds.
PYTHON = """#!/bin/sh
case "$*" in
  "-c import sys"*) echo "${FAKE_VERSION:-3.12.1}" ;;
  *"import venv, ensurepip"*) exit "${NO_VENV:-0}" ;;
  *"import pip"*) ;;
  *"-m venv "*)
    for folder; do :; done
    mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
    echo "version = 3.12.1" >"$folder/pyvenv.cfg" ;;
  *"-m pip install "*)
    echo "$*" >>"$PIP_LOG"
    sleep "${PIP_SLEEP:-0}"
    [ -z "$PIP_FAILS" ] || { echo "$PIP_FAILS"; echo "a reason"; exit 1; } ;;
  *) echo "ran: $*" ;;
esac
"""

PROGRAM = '''"""{summary}

More words.
"""

if __name__ == "__main__":
    pass
'''


class House:
    """A small project around a copy of the real launch.sh."""

    def __init__(self, folder: pathlib.Path):
        self.root = folder / "house"
        self.pip_log = folder / "pip.log"
        self.python = folder / "python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        for name in ("experiments/studies", "data_prep"):
            (self.root / name).mkdir(parents=True)
        for name in ("launch.sh", "pyproject.toml", "constraints-3.12.txt"):
            shutil.copy(ROOT / name, self.root / name)
        self.program("experiments/certify.py", "Certified accuracy, by smoothing.")
        self.program("experiments/studies/speakers.py", "All the tables of a paper.")
        (self.root / "experiments/studies/sounds").mkdir()
        self.program("experiments/studies/sounds/__main__.py", "Those of another.")
        self.program("data_prep/build.py", "Records of a corpus.")
        (self.root / "experiments/app.py").write_text('"""Flags; not a program."""\n')

    def program(self, path: str, summary: str):
        (self.root / path).write_text(PROGRAM.format(summary=summary))

    def start(self, *args: str, **more: str) -> subprocess.Popen:
        env = {k: v for k, v in os.environ.items() if k not in ("VENV", "EXTRAS")}
        env |= {"PYTHON": str(self.python), "PIP_LOG": str(self.pip_log)} | more
        return subprocess.Popen(
            [str(self.root / "launch.sh"), *args],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def launch(self, *args: str, **more: str) -> tuple[int, str, str]:
        process = self.start(*args, **more)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def installs(self) -> list[str]:
        """The extras of each pip call, in order."""
        if not self.pip_log.exists():
            return []
        lines = self.pip_log.read_text().splitlines()
        wanted = [line.rpartition(" ")[2] for line in lines]
        return [each.partition("[")[2].rstrip("]") or "base" for each in wanted]


@pytest.fixture
def house(tmp_path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("version", ["2.7.18", "3.9.18", "3.10.13", "3.14.0"])
def test_another_python_is_named_and_nothing_is_made(house, version):
    code, _, err = house.launch("certify", FAKE_VERSION=version)
    assert code == 1
    assert f"Python {version}, is" in err
    assert ("newer" if version == "3.14.0" else "too old") in err
    assert "needs Python 3.11, 3.12 or 3.13" in err
    assert "PYTHON=" in err
    assert not (house.root / ".venv").exists()


def test_a_python_that_is_not_there(house):
    code, _, err = house.launch("certify", PYTHON="/nowhere/python3")
    assert code == 1
    assert "/nowhere/python3" in err


def test_a_python_without_venv_says_what_to_install(house):
    code, _, err = house.launch("certify", NO_VENV="1")
    assert code == 1
    assert "apt install python3.12-venv" in err
    assert house.installs() == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cerify", "certify"),
        ("certifiy", "certify"),
        ("studies.speaker", "studies.speakers"),
        ("speakers", "studies.speakers"),
        ("app", None),
        ("../experiments/certify", None),
        ("-x", None),
        (".", None),
        ("a\\nb", None),
    ],
)
def test_an_unknown_program_gets_a_hint_and_no_install(house, name, near):
    code, out, err = house.launch(name)
    assert code == 2
    assert f"no program '{name}'" in err
    assert ("Did you mean" in err) == (near is not None)
    assert near is None or f"'{near}'?" in err
    assert "./launch.sh --help" in err
    assert err.count("\n") == 1
    assert out == ""
    assert not (house.root / ".venv").exists()


def test_install_explains_itself_and_takes_no_other_words(house):
    code, out, err = house.launch("install", "--help")
    assert (code, err) == (0, "")
    assert "EXTRAS=" in out
    code, out, err = house.launch("install", "svm")
    assert (code, out) == (1, "")
    assert "EXTRAS=svm" in err
    assert house.installs() == []


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_help_lists_the_programs_and_installs_nothing(house, args):
    code, out, err = house.launch(*args)
    assert code == 0
    assert err == ""
    listed = dict(
        line.strip().split("  ", 1) for line in out.splitlines() if "  " in line.strip()
    )
    assert listed["certify"].strip() == "Certified accuracy, by smoothing."
    assert listed["studies.speakers"].strip() == "All the tables of a paper."
    assert listed["studies.sounds"].strip() == "Those of another."
    assert listed["data_prep.build"].strip() == "Records of a corpus."
    assert "app" not in listed
    assert not (house.root / ".venv").exists()


def test_the_command_advjax_lists_the_same_programs_in_the_same_groups():
    out = subprocess.run(
        [ROOT / "launch.sh"], capture_output=True, text=True, check=True
    ).stdout
    ours = programs.overview()
    assert f"\n{ours}\n\nthis checkout:\n" in out
    assert len(programs.programs()) > 20
    for line in ours.splitlines():
        name, _, summary = line.strip().partition(" ")
        assert not line.startswith(" ") or summary.strip(), f"{name} lacks words"


def test_a_program_gets_its_flags_and_the_second_start_installs_nothing(house):
    code, out, err = house.launch("certify", "--rep=mfbe", "a b")
    assert (code, out) == (0, "ran: -P -m experiments.certify --rep=mfbe a b\n")
    assert "about 2 minutes" in err
    code, out, err = house.launch("certify", "--rep=mfbe", PYTHON="")
    assert (code, err) == (0, "")
    assert house.installs() == ["base"]
    call = house.pip_log.read_text()
    assert f"--constraint {house.root}/constraints-3.12.txt" in call


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("studies.speakers", "experiments.studies.speakers"),
        ("studies.sounds", "experiments.studies.sounds"),
        ("experiments.certify", "experiments.certify"),
        ("data_prep.build", "data_prep.build"),
    ],
)
def test_nested_names(house, name, module):
    assert house.launch(name)[1] == f"ran: -P -m {module}\n"


def test_test_tools_and_extras_come_when_asked_for(house):
    house.launch("certify")
    code, out, _ = house.launch("test", "-m", "slow")
    assert (code, out) == (0, "ran: -m pytest -m slow\n")
    house.launch("certify", EXTRAS="svm,bench")
    house.launch("certify", EXTRAS="svm")
    assert house.installs() == ["base", "test", "svm,bench"]
    code, _, err = house.launch("certify", EXTRAS="cuda99")
    assert code == 1
    assert "cuda99" in err
    assert "cuda12" in err


def test_changed_requirements_are_installed_changed_tool_settings_are_not(house):
    house.launch("certify")
    pyproject = house.root / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(text + "# a setting of a tool\n")
    house.launch("certify")
    assert house.installs() == ["base"]
    pyproject.write_text("# another requirement\n" + text)
    house.launch("certify")
    assert house.installs() == ["base", "base"]


def test_a_failure_to_fetch_leaves_the_environment_as_it_was(house):
    house.launch("certify")
    code, out, err = house.launch("test", PIP_FAILS="Collecting pytest")
    assert code == 1
    assert out == ""
    assert "a reason" in err
    code, out, err = house.launch("certify")
    assert (code, out, err) == (0, "ran: -P -m experiments.certify\n", "")
    house.launch("test")
    assert house.installs() == ["base", "test", "test"]


def test_a_failure_to_unpack_makes_the_next_start_begin_again(house):
    house.launch("certify", PIP_FAILS="Installing collected packages: jax")
    code, out, err = house.launch("certify")
    assert (code, out) == (0, "ran: -P -m experiments.certify\n")
    assert "did not finish" in err


def test_a_start_killed_while_installing_leaves_nothing_that_counts(house):
    process = house.start("certify", PIP_SLEEP="30")
    while not house.installs():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (house.root / ".venv/half-a-package").touch()
    code, out, err = house.launch("certify")
    assert (code, out) == (0, "ran: -P -m experiments.certify\n")
    assert "did not finish" in err
    assert not (house.root / ".venv/half-a-package").exists()
    assert house.installs() == ["base", "base"]


@pytest.mark.skipif(not shutil.which("flock"), reason="this machine has no flock")
def test_two_starts_at_once_install_once(house):
    both = [house.start("certify", PIP_SLEEP="1") for _ in range(2)]
    outs = [process.communicate(timeout=60)[0] for process in both]
    assert outs == ["ran: -P -m experiments.certify\n"] * 2
    assert house.installs() == ["base"]


def test_a_folder_with_other_things_is_left_alone(house, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("words")
    code, _, err = house.launch("certify", VENV=str(tmp_path / "mine"))
    assert code == 1
    assert "VENV=" in err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
