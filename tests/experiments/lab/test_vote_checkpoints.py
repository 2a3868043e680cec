import json

import pytest

from advjax.runtime.parallel import Process
from advjax.smoothing import Tally
from experiments.lab import vote_checkpoints

LIMITS = vote_checkpoints.Limits({"a", "b\udcff"}, 3, 10, 100)
FIRST = Tally(5, (5, 0, 0))
SECOND = Tally(10, (1, 8, 0), 60, (0, 59, 0), 0.5, 0.9)


@pytest.fixture
def path(tmp_path):
    note = vote_checkpoints.writer(
        tmp_path, Process(0, 1), clock=iter([0, 0, 99, 99]).__next__
    )
    note("a", FIRST)
    note("b\udcff", SECOND)
    return tmp_path / "votes.json"


def read(path, limits=LIMITS):
    said = []
    return vote_checkpoints.read(path.parent, limits, note=said.append), said


def test_votes_come_back_as_they_were(path):
    assert read(path) == ({"a": FIRST, "b\udcff": SECOND}, [])
    assert vote_checkpoints.read(path.parent) == {"a": FIRST, "b\udcff": SECOND}
    vote_checkpoints.remove(path.parent)
    assert read(path) == ({}, [])


def test_a_changed_count_is_noticed_and_told(path):
    text = path.read_text()
    for old, new in (
        ("59", "60"), ("8, 0]", "9, 0]"), ("0.5", "0.6"), ('"a"', '"c"'), ("5", "5.0"),
    ):  # fmt: skip
        assert old in text
        path.write_text(text.replace(old, new, 1))
        found, said = read(path)
        assert not found and len(said) == 1
        assert str(path) in said[0] and said[0].endswith("points are counted anew")


@pytest.mark.parametrize(
    ("tally", "complaint"),
    [
        (FIRST._replace(selection=(6, 0, 0)), "6 votes of 5"),
        (FIRST._replace(selection=()), "0 votes of 5"),
        (FIRST._replace(num_selection=11), "11 votes of 10"),
        (FIRST._replace(selection=(5, 0)), "2 classes of 3"),
        (FIRST._replace(num_estimation=5, estimation=(5, 0, 0)), "before one was"),
        (SECOND._replace(num_estimation=101), "101 votes of 100"),
        (SECOND._replace(selection=(1, -8, 0)), "0 or more"),
        (SECOND._replace(lower=1.5), "from 0 to 1"),
        (SECOND._replace(lower=float("nan")), "not valid JSON"),
        (SECOND._replace(estimation=(0, True, 0)), "a whole number"),
    ],
)
def test_votes_that_no_run_counts_are_not_taken(path, tally, complaint):
    points = {"a": tally._asdict()}
    digest = vote_checkpoints._digest(json.loads(json.dumps(points)))
    path.write_text(json.dumps({"digest": digest, "points": points}))
    found, said = read(path)
    assert not found and complaint in said[0]


def test_points_of_another_run_and_files_without_a_digest_are_not_taken(path):
    found, said = read(path, LIMITS._replace(ids={"a"}))
    assert not found and "udcff' is no point of this run" in said[0]
    path.write_text(json.dumps({"a": FIRST._asdict()}))
    found, said = read(path)
    assert not found and "earlier version" in said[0]
    for content in (b"", b"\xff", b"[" * 100_000, b"[]", b'{"digest": 1}'):
        path.write_bytes(content)
        found, said = read(path)
        assert not found and len(said) == 1
    path.unlink()
    path.symlink_to(path)
    found, said = read(path)
    assert not found and len(said) == 1
