import ast
import pathlib

import pytest
from absl import flags
from absl.testing import flagsaver

from data_prep.path_flags import define_path, define_paths

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    values = flags.FlagValues()
    define_path("home", "runs", "Where all goes.", values=values)
    define_path("out", None, "The report.", values=values)
    define_paths("runs", [], "The runs.", values=values)
    return values


@pytest.mark.parametrize(
    "text, expected",
    [
        ("~/x", "me/x"),
        ("~", "me"),
        ("x", "x"),
        ("x/", "x"),
        ("./x/../y", "y"),
        ("a b", "a b"),
        ("a,b", "a,b"),
        ("[1]\\?*", "[1]\\?*"),
    ],
)
def test_a_path_is_the_one_that_was_meant(values, tmp_path, text, expected):
    values(["program", f"--home={text}", f"--runs={text}" if "," not in text else ""])
    assert values.home == str(tmp_path / expected)
    if "," not in text:
        assert values.runs == [str(tmp_path / expected)]


def test_defaults_are_shown_as_they_are_and_read_where_the_program_runs(
    values, tmp_path, monkeypatch
):
    assert "(default: 'runs')" in values.get_help()
    assert "(a path)" in values.get_help()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    values(["program"])
    assert values.home == str(tmp_path / "other" / "runs")
    assert values.out is None and values.runs == []


@pytest.mark.parametrize("flag", ["home", "out", "runs"])
@pytest.mark.parametrize("text", ["", "~nobody-of-this-name/x"])
def test_what_is_no_path_is_refused_with_the_flag(values, flag, text):
    with pytest.raises(flags.IllegalFlagValueError, match=f"--{flag}="):
        values(["program", f"--{flag}={text}"])


def test_several_paths(values, tmp_path):
    values(["program", "--runs=a,~/b", "--runs=c/,./d"])
    assert values.runs == [str(tmp_path / each) for each in ("a", "me/b", "c", "d")]


def test_commas_inside_names_of_what_exists(values, tmp_path):
    for name in ("pgd(a=1,b=2)", "x,y,z", "x"):
        (tmp_path / name).mkdir()
    values(["program", "--runs=none,pgd(a=1,b=2),x,y,z,x", "--runs=x,y,z"])
    names = ("none", "pgd(a=1,b=2)", "x,y,z", "x", "x,y,z")
    assert values.runs == [str(tmp_path / each) for each in names]


def test_commas_inside_quotes(values, tmp_path):
    values(["program", '--runs="p,q",r'])
    assert values.runs == [str(tmp_path / "p,q"), str(tmp_path / "r")]
    with pytest.raises(flags.IllegalFlagValueError, match="empty"):
        values(["program", "--runs=a,,b"])


def test_flags_can_be_set_and_restored(values, tmp_path):
    values(["program", "--runs=a"])
    before = flagsaver.save_flag_values(values)
    values.home = "~/z"
    values.runs = ["b"]
    assert values.home == str(tmp_path / "me/z")
    assert values.runs == [str(tmp_path / "b")]
    flagsaver.restore_flag_values(before, values)
    assert values.home == str(tmp_path / "runs")
    assert values.runs == [str(tmp_path / "a")]


def test_every_flag_of_a_folder_is_read_by_the_one_function():
    """A flag of plain text whose words speak of a folder would leave `~` as it is."""
    plain = {"DEFINE_string", "DEFINE_list", "DEFINE_multi_string", "text"}
    for folder in ("data_prep", "experiments"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                function = node.func
                name = getattr(function, "attr", getattr(function, "id", ""))
                if name in plain:
                    words = " ".join(
                        each.value
                        for each in ast.walk(node)
                        if isinstance(each, ast.Constant)
                        and isinstance(each.value, str)
                    )
                    place = f"{file.name}, line {node.lineno}"
                    assert "folder" not in words.lower(), place
                    assert "_dir" not in words, place
