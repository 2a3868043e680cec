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


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_a_run_goes_on_with_the_columns_that_it_has(tmp_path, dropped):
    schema = ATTACK_ROWS.without(dropped)
    row = ROW._replace(success_pcm16=1, success_float32=1)
    folder = tmp_path / "run"
    with runs.open_run(
        folder, settings={"a": 1}, environment={}, schema=schema, shard=(0, 2)
    ) as run:
        run.append(row)
    before = (folder / "rows-0-of-2.tsv").read_bytes()
    assert before.count(b"\t") == 2 * (len(AttackRow._fields) - dropped - 1)
    # A later version writes more columns, but not into this file.
    for index, columns in ((0, len(AttackRow._fields) - dropped), (1, 20)):
        with runs.open_run(
            folder, settings={"a": 1}, environment={}, schema=ATTACK_ROWS,
            shard=(index, 2),
        ) as run:  # fmt: skip
            run.append(row._replace(id=f"{index}", idx=index + 4))
        lines = (folder / f"rows-{index}-of-2.tsv").read_text().splitlines()
        assert {len(line.split("\t")) for line in lines} == {columns}
    assert (folder / "rows-0-of-2.tsv").read_bytes().startswith(before)
    found = ATTACK_ROWS.read(folder)
    assert found.success_pcm16.tolist() == [1 if dropped < 2 else -1] * 2 + [1]
    assert found.success_float32.tolist() == [1 if dropped < 1 else -1] * 2 + [1]


def test_fewer_columns_than_a_run_may_have_are_refused(tmp_path):
    (tmp_path / "rows.tsv").write_bytes(ATTACK_ROWS.without(3).header)
    with pytest.raises(ValueError, match="not the rows of an attack"):
        ATTACK_ROWS.read(tmp_path)
    with pytest.raises(ValueError, match="other columns"):
        opened(tmp_path)
