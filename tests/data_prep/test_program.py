"""The start of a program, in processes that import no JAX."""

import pathlib
import subprocess
import sys

import pytest
from absl import flags

import advjax
from data_prep import program

ROOT = pathlib.Path(__file__).parents[2]
BEGIN = """
import sys
from absl import flags
import advjax
from data_prep import program
flags.DEFINE_integer("batch_size", 1, "Of a step.")
program.define_seed("Of the draw.")
def main(argv):
    {}
program.run(main, interrupted="interrupted: as a test")
"""


def run(body, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(body), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_program_that_ends_well():
    assert run("print(flags.FLAGS.seed)", "--seed=4294967295")[:2] == (
        0,
        "4294967295\n",
    )
    assert run("return 3") == (3, "", "")


@pytest.mark.parametrize("seed", ["-1", "4294967296", "18446744073709551616", "a"])
def test_a_seed_that_draws_the_numbers_of_another_is_refused(seed):
    code, out, errors = run("print('ran')", f"--seed={seed}")
    assert (code, out) == (1, "")
    assert errors.startswith(f"error: flag --seed={seed}: ") and errors.count("\n") == 1


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull", "--helpshort"])
def test_help_ends_well(flag):
    code, out, errors = run("print('the work')", flag)
    assert code == 0 and "--seed" in out and "the work" not in out and not errors


@pytest.mark.parametrize(
    "body, line",
    [
        ("raise ValueError('a flag: give another')", "a flag: give another"),
        ("open('/none/there')", "/none/there: no such file or directory"),
        ("import soundfiles", "the package soundfiles is missing: "),
        ("raise MemoryError", "out of memory: give a smaller --batch_"),
        ("float(10**999)", "a number is too large"),
        ("(f := lambda: f())()", "something is nested too deeply"),
    ],
)
def test_what_a_person_can_mend_ends_in_one_line(body, line):
    code, out, errors = run(body)
    assert code == 1 and errors.startswith(f"error: {line}"), errors
    assert errors.count("\n") == 1 and not out
    code, _, errors = run(body, "--debug")
    assert code == 1 and "Traceback" in errors


def test_a_mistake_of_ours_shows_where():
    code, _, errors = run("raise AssertionError('odd')")
    assert code == 1 and "Traceback" in errors


def test_arguments_without_a_flag_are_refused():
    assert run("print('ran')", "more") == (
        1,
        "",
        "error: unexpected argument 'more': flags start with -- "
        "(--help lists the flags)\n",
    )
    assert "write --batch_size=2" in run("print('ran')", "batch_size=2")[2]


@pytest.mark.parametrize(
    ("given", "near"), [("--batch_sise=2", "'--batch_size'"), ("--seeed", "'--seed'")]
)
def test_a_misspelled_flag_gets_a_hint_in_one_line(given, near):
    code, out, errors = run("print('ran')", given)
    assert (code, out) == (1, "")
    assert f"Did you mean {near}? (--help lists the flags)\n" in errors
    assert errors.count("\n") == 1


def test_version_ends_well():
    assert run("print('ran')", "--version") == (0, f"advjax {advjax.__version__}\n", "")


def test_help_lists_the_options_of_a_name():
    code, out, errors = run("print('ran')", "--help=pgd")
    assert code == 0 and "num_steps: a whole number; its default is 40" in out
    code, out, errors = run("print('ran')", "--help=pdg")
    assert (code, out) == (1, "")
    assert "Did you mean 'pgd'?" in errors and errors.count("\n") == 1


@pytest.mark.parametrize("signal, code", [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("after", ["", "; import time; time.sleep(20)"])
def test_a_signal_ends_the_program_with_its_last_line(signal, code, after):
    body = f"""import os, signal; signal.signal
    try: os.kill(os.getpid(), signal.{signal}){after}
    except KeyboardInterrupt: raise ValueError('while it saved')"""
    assert run(body) == (code, "", "interrupted: as a test\n")


def test_settings_of_jax_that_change_numbers_are_left_out_and_said():
    body = "import os; print(sorted(n for n in os.environ if n.startswith('JAX')))"
    found = run(body, JAX_ENABLE_X64="1", JAX_PLATFORMS="cpu")
    assert found[:2] == (0, "['JAX_PLATFORMS']\n")
    assert found[2].startswith("JAX_ENABLE_X64 ")
    assert found[2].count("\n") == 1


def test_the_core_sees_no_x64_where_jax_was_imported_before():
    import jax

    before = jax.config.jax_enable_x64
    try:
        jax.config.update("jax_enable_x64", True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JAX_ENABLE_X64", "1")
            program._leave_out_settings()
        assert not jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", before)


def test_readable_failures_end_with_the_name_of_the_program():
    named = program.readable_failures("data_prep.build")
    with pytest.raises(SystemExit, match="^data_prep.build: no such folder$"), named:
        raise FileNotFoundError("no such folder")
    with pytest.raises(TypeError), program.readable_failures("data_prep.build"):
        raise TypeError


def test_debug_is_defined_once():
    values = flags.FlagValues()
    program.define_debug(values)
    program.define_debug(values)
    assert "debug" in values
