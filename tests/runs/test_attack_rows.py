import math

import pytest

from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS, AttackRow

ROW = AttackRow(
    idx=3, label=1, clean=1, target=-1, predict=2, success=True, queries=17, time=0.25,
    id="ü@3", budget=math.inf, snr_db=30.1, linf=0.1, l2=1 / 3, l0=9, gt=0.9, new=0.6,
    gt_new=0.3, zero_gradient=0.0,
)  # fmt: skip


def opened(folder):
    return runs.open_run(folder, settings={"a": 1}, environment={}, schema=ATTACK_ROWS)


def test_rows_read_back_as_written(tmp_path):
    with opened(tmp_path) as run:
        run.append(ROW)
        run.append(ROW._replace(id="b", success=False))
    found = ATTACK_ROWS.read(tmp_path)
    assert found.id == ("ü@3", "b")
    assert list(found.success) == [True, False]
    for name in AttackRow._fields:
        assert getattr(found, name)[0] == getattr(ROW, name), name
    with opened(tmp_path) as run:
        assert run.done == {"ü@3", "b"}


def test_a_line_cut_short_is_dropped_and_a_bad_one_named(tmp_path):
    with opened(tmp_path) as run:
        run.append(ROW)
    path = tmp_path / "rows.tsv"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(True)[1][:20])
    assert len(ATTACK_ROWS.read(tmp_path).id) == 1
    path.write_bytes(whole.replace(b"\t17\t", b"\tmany\t"))
    with pytest.raises(ValueError, match="line 2"):
        ATTACK_ROWS.read(tmp_path)
    path.write_bytes(whole.replace(b"\t17\t", b"\t"))
    with pytest.raises(ValueError, match="line 2"):
        ATTACK_ROWS.read(tmp_path)


def test_rows_of_another_kind_are_refused(tmp_path):
    (tmp_path / "rows.tsv").write_text("idx\tlabel\n")
    with pytest.raises(ValueError, match="not the rows of an attack"):
        ATTACK_ROWS.read(tmp_path)
    with pytest.raises(ValueError, match="other columns"):
        opened(tmp_path)
    with pytest.raises(FileNotFoundError, match="experiments.attack"):
        ATTACK_ROWS.read(tmp_path / "none")


def test_an_id_that_breaks_the_file_is_refused():
    with pytest.raises(ValueError, match="rename the clip"):
        ATTACK_ROWS.line(ROW._replace(id="a\tb"))
