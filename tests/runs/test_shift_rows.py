import pytest

from advjax.runs import folder
from advjax.runs.row_types import SHIFTS, ShiftRow

ROW = ShiftRow(0, 3, 3, 4, True, 0.1, "speaker/7-001", 12, 13)
SETTINGS = {"max_shift": 6, "shift_step": 1, "num_points": 1}


def write(path, row):
    with folder.open_run(path, settings=SETTINGS, environment={}, schema=SHIFTS) as run:
        run.append(row)


def test_rows_read_back_as_they_were(tmp_path):
    write(tmp_path, ROW)
    assert list(SHIFTS.read(tmp_path)) == [ROW]
    assert folder.num_missing(tmp_path) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predict": 2}, "correct is 1 where the label is 3"),
        ({"n": 11, "votes": 11}, "n is 11, not that of shifts by 1 up to 6"),
        ({"votes": 14}, "14 votes of 13"),
        ({"radius": 7}, "the radius is 7, where 12 votes"),
        ({"votes": 13}, "the radius is 4, where all votes agree up to 6"),
    ],
)
def test_contradictions_are_refused(tmp_path, changes, message):
    write(tmp_path, ROW._replace(**changes))
    with pytest.raises(ValueError, match=message):
        SHIFTS.read(tmp_path)


def test_a_radius_between_steps_is_refused(tmp_path):
    with folder.open_run(
        tmp_path,
        settings={"max_shift": 12, "shift_step": 2},
        environment={},
        schema=SHIFTS,
    ) as run:
        run.append(ROW._replace(radius=5))
    with pytest.raises(ValueError, match="shifts by 2"):
        SHIFTS.read(tmp_path)
