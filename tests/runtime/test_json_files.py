import json
import os
import pathlib

import pytest

from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import (
    Anything,
    Fields,
    Integer,
    Items,
    Number,
    Table,
    Text,
    read_json,
)

RESULTS = pathlib.Path(__file__).parents[2] / "experiments/results"
PERSON = Fields(
    {
        "name": Text(plain=True),
        "age": Integer(0, 150),
        "weight": Number(0),
        "marks": Items(Integer(1, 6), low=1, high=3, distinct=True),
    },
    {
        "kind": Text(("adult", "child")),
        "sizes": Table(Integer(0), low=1),
        "note": Text(empty=True),
        "seed": Integer(),
    },
)
GOOD = {"name": "Ada", "age": 36, "weight": 50, "marks": [1, 2]}


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "person.json"
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"weight": 50.5, "kind": "child", "sizes": {"shoe": 3}},
        {"name": "Zoë 音", "note": ""},
        {"seed": 3},
    ],
)
def test_what_fits_is_read(written, more):
    assert read_json(written(GOOD | more), PERSON) == GOOD | more


@pytest.mark.parametrize(
    "more, told",
    [
        ({"name": 3}, "name should be text, not 3"),
        ({"name": ""}, "name should be text that is not empty"),
        ({"name": "a\x1b[31m"}, r"name should be text of printable characters"),
        ({"age": "36"}, "age should be a whole number from 0 to 150, not '36'"),
        ({"age": True}, "age should be a whole number"),
        ({"age": 36.0}, "age should be a whole number"),
        ({"age": 151}, "from 0 to 150, not 151"),
        ({"weight": -0.5}, "weight should be a number of 0 or more"),
        ({"weight": None}, "weight should be a number"),
        ({"marks": {}}, "marks should be a list"),
        ({"marks": []}, "marks should be of length from 1 to 3, and has 0"),
        ({"marks": [1, 7]}, r"marks\[1\] should be a whole number from 1 to 6, not 7"),
        ({"marks": [1, 1]}, "marks should hold each item once"),
        ({"kind": "robot"}, "kind should be 'adult' or 'child', not 'robot'"),
        ({"sizes": {}}, "sizes should have 1 keys or more"),
        ({"sizes": {"shoe": -3}}, "sizes.shoe should be a whole number of 0 or more"),
        ({"sizes": []}, "sizes should be an object"),
        ({"seed": "a"}, "seed should be a whole number"),
        ({"colour": "red"}, "colour is unknown; the keys are name, age"),
    ],
)
def test_what_does_not_fit_is_named(written, more, told):
    path = written(GOOD | more)
    with pytest.raises(Damaged, match=told) as caught:
        read_json(path, PERSON, advice="Write it again")
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert str(caught.value).endswith(". Write it again")
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "not valid JSON"),
        (b'{"name": "Ada"', "not valid JSON"),
        (b"\x00" * 20, "not valid JSON"),
        (b'{"name": "\xff"}', "byte 10 is not UTF-8"),
        (b'{"age": 1, "age": 2}', "the key 'age' occurs twice"),
        (b'{"age": NaN}', "not a finite number"),
        (b'{"age": 1e999}', "not a finite number"),
        (b"9" * 5000, "not valid JSON"),
        (b"[" * 100_000, "deep"),
        (b"[" * 200 + b"]" * 200, "nested deeper than 64"),
        (b"[]", "its content should be an object"),
        (b"{}", "name is missing"),
        (json.dumps({"\x1b[31m" * 99: "x" * 9999}).encode(), "name is missing"),
    ],
)
def test_a_text_that_is_no_such_value_is_refused(written, content, told):
    with pytest.raises(Damaged, match=told):
        read_json(written(content), PERSON)


def test_a_file_that_is_too_large_or_none_is_refused(written, tmp_path):
    with pytest.raises(Damaged, match="larger than 10 bytes"):
        read_json(written(GOOD), PERSON, max_bytes=10)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Damaged, match="not a plain file"):
        read_json(tmp_path / "pipe", PERSON)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "missing", PERSON)
    with pytest.raises(OSError):
        read_json(tmp_path, PERSON)


def test_numbers_that_are_not_finite_can_be_allowed(written):
    path = written(b'{"a": Infinity}')
    assert read_json(path, Table(Number()), finite=False) == {"a": float("inf")}


def test_committed_runs_are_read():
    paths = sorted(RESULTS.glob("**/run.json"))
    assert len(paths) > 100
    schema = Fields({"settings": Table()}, {"environment": Table()}, open=True)
    for path in paths:
        assert read_json(path, schema) == json.loads(path.read_bytes())
    with pytest.raises(Damaged, match="is unknown"):
        read_json(paths[0], Fields({"settings": Anything()}))
