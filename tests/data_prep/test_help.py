"""Help of programs, without JAX."""

import pathlib
import subprocess
import sys

import pytest
from absl import flags

import advjax
from data_prep import help, program_flags

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def values():
    values = flags.FlagValues()
    flags.DEFINE_bool("cluster", False, "Find others.", flag_values=values)
    flags.DEFINE_integer("tile", None, "Copies.", 1, flag_values=values)
    flags.DEFINE_list("radii", ["1", "2"], "Radii.", flag_values=values)
    flags.DEFINE_enum("bound", "a", ["a", "b"], "Bound.", flag_values=values)
    flags.DEFINE_multi_string("attack", ["pgd"], "Attack.", flag_values=values)
    return values


def test_a_page_has_kinds_defaults_and_meanings_under_headings(values):
    groups = {"one": [values["cluster"], values["tile"]], "none": []}
    groups["two"] = [values[name] for name in ("radii", "bound", "attack")]
    page = help.page("experiments.certify", "Certify.", groups)
    assert "none" not in page
    assert page.partition("\n\nhelp and failures:")[0] == (
        "usage: python -m experiments.certify [--FLAG=VALUE ...]\n\nCertify.\n\n"
        "one:\n"
        "  --[no]cluster  (default: off)\n      Find others.\n"
        "  --tile=N\n      Copies.\n\n"
        "two:\n"
        "  --radii=A,B,...  (default: 1,2)\n      Radii.\n"
        "  --bound=a|b  (default: a)\n      Bound.\n"
        "  --attack=TEXT  (default: pgd)\n      Attack."
    )


@pytest.mark.parametrize(
    ("launcher", "module", "command"),
    [
        ("", "experiments.certify", "python -m experiments.certify"),
        ("./launch.sh", "experiments.certify", "./launch.sh certify"),
        ("advjax", "data_prep.build", "advjax data_prep.build"),
    ],
)
def test_commands_are_named_as_they_were_started(
    monkeypatch, launcher, module, command
):
    monkeypatch.setenv(help.COMMAND, launcher)
    assert help.command(module) == command
    text = f"  python -m {module} --seed=1\n"
    assert f"\n{command} --seed=1\n" in help.page(module, text, {})


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "PAGE"),
        (["-h"], "PAGE"),
        (["--seed=1", "--help", "--seed=2"], "PAGE"),
        (["--help=pgd"], "pgd: an attack"),
        (["--help", "pgd"], "pgd: an attack"),
        (["--version"], f"advjax {advjax.__version__}"),
        (["--", "--help"], None),
        (["--helpfull"], None),
        (["--seed=1"], None),
    ],
)
def test_help_is_asked_for_in_several_ways(capsys, arguments, shown):
    assert help.answer(arguments, lambda: "PAGE") == (shown is not None)
    assert capsys.readouterr().out.startswith(shown or "")


@pytest.mark.parametrize("name", list(program_flags.DEFINE))
def test_programs_of_this_package_answer_without_jax(name):
    code = (
        "import runpy, sys; sys.modules['jax'] = None; sys.argv[:1] = ['-m']; "
        f"sys.orig_argv[:] = ['python', '-m', 'data_prep.{name}', '--help']; "
        f"runpy.run_module('data_prep.{name}', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m data_prep.{name} ")
    assert "--seed=N  (default: 0)" in done.stdout
