import math

import pytest

from advjax.runs import folder
from advjax.runs.row_types import SMOOTHED_ATTACKS, SmoothedAttackRow

ROW = SmoothedAttackRow(
    "speaker/7-001", 3, 0.1 + 0.2, "pgd(norm='l2')", "1 sigma", 0.5, 0.25, 4, 1e-9, 900
)


def test_a_row_knows_what_it_means():
    assert ROW.id == "speaker/7-001 pgd(norm='l2') 1 sigma"
    assert ROW.flipped and ROW.inside
    assert not ROW._replace(predict=3).flipped
    assert not ROW._replace(predict=-1).flipped
    assert not ROW._replace(l2=0.31).inside
    assert not ROW._replace(l2=0.0).inside


def test_rows_read_back_as_they_were_and_the_last_one_whole(tmp_path):
    smallest = ROW._replace(budget="smallest", eps=math.inf, predict=-1)
    with folder.open_run(
        tmp_path, settings={}, environment={}, schema=SMOOTHED_ATTACKS
    ) as run:
        run.append(ROW)
        run.append(smallest)
    assert list(SMOOTHED_ATTACKS.read(tmp_path)) == [ROW, smallest]
    path = tmp_path / "rows.tsv"
    lines = path.read_text().splitlines()
    assert lines[0].split("\t")[-1] == "flipped"
    assert [line.split("\t")[-1] for line in lines[1:]] == ["1", "0"]
    path.write_bytes(path.read_bytes()[:-5])
    assert list(SMOOTHED_ATTACKS.read(tmp_path)) == [ROW]
    with folder.open_run(
        tmp_path, settings={}, environment={}, schema=SMOOTHED_ATTACKS
    ) as run:
        assert run.done == {ROW.id}


def test_what_no_line_can_hold_or_no_row_has_is_refused(tmp_path):
    with pytest.raises(ValueError, match="rename the clip"):
        SMOOTHED_ATTACKS.line(ROW._replace(clip="a\tb"))
    with pytest.raises(ValueError, match="line 1: these are not the rows"):
        SMOOTHED_ATTACKS.parse(b"idx\tlabel\n", tmp_path)
    header, line = SMOOTHED_ATTACKS.header, SMOOTHED_ATTACKS.line(ROW)
    with pytest.raises(ValueError, match="line 2: .*seven"):
        SMOOTHED_ATTACKS.parse(
            header + line.replace(b"\t900\t", b"\tseven\t"), tmp_path
        )
    with pytest.raises(ValueError, match="line 2: "):
        SMOOTHED_ATTACKS.parse(header + line.replace(b"\t900\t", b"\t"), tmp_path)
    with pytest.raises(ValueError, match="line 2: flipped is 0 where the label is 3"):
        SMOOTHED_ATTACKS.ids(header + line.replace(b"\t1\n", b"\t0\n"), tmp_path)
