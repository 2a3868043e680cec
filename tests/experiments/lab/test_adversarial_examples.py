import errno
import os

import numpy as np
import pytest

from advjax.runs import folder
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from experiments.lab import adversarial_examples
from experiments.lab.adversarial_examples import check_example, examples, open_examples

SHAPE = (3, 2, 5)
POSITION = {"b": 0, "a": 1, "c": 2}
ROW = AttackRow(
    idx=0, label=1, clean=1, target=-1, predict=2, success=True, queries=17, time=0.25,
    id="a", budget=9.0, snr_db=30.1, linf=1.0, l2=np.sqrt(10), l0=10, gt=0.9, new=0.6,
    gt_new=0.3, zero_gradient=0.0,
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    """A run of three points, of which one has its row and its example."""
    with folder.open_run(
        tmp_path, settings={}, environment={}, schema=ATTACK_ROWS
    ) as run:
        run.append(ROW)
    path = tmp_path / "x_adv.npy"
    with open_examples(path, SHAPE, position=POSITION, has_rows=False) as file:
        file.write("a", np.ones(SHAPE[1:], np.float32))
    return path


def test_examples_are_where_their_points_are_and_have_their_blocks(path):
    stored = np.load(path)
    assert stored.dtype == np.float32 and stored.shape == SHAPE
    assert stored.sum() == 10 and (stored[1] == 1).all()
    found = examples(path.parent, POSITION)
    assert list(found) == ["a"] and (found["a"] == 1).all()
    with open_examples(path, SHAPE, position=POSITION, has_rows=True) as file:
        file.write("c", np.full(SHAPE[1:], 2, np.float32))
    assert np.load(path).sum() == 30
    large = path.with_name("large.npy")
    open_examples(large, (1000, 1000), position={}, has_rows=False).__exit__()
    assert large.stat().st_blocks * 512 >= 4_000_000


def rewritten(shape=SHAPE, descr="<f4", order="False", size=120):
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    header = text.encode().ljust(117) + b"\n"
    return (
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"1" * size
    )


DAMAGE = {
    "a header of 4 TB": rewritten(shape=(3, 2**40)),
    "more points": rewritten(shape=(4, 2, 5), size=160),
    "another type": rewritten(descr="<f8", size=240),
    "big endian": rewritten(descr=">f4"),
    "objects": rewritten(descr="|O"),
    "by column": rewritten(order="True"),
    "cut short": rewritten(size=119),
    "longer": rewritten(size=121),
    "no axes": rewritten(shape=(), size=4),
    "empty": b"",
    "a text": b"my notes\n" * 50,
    "negative": rewritten(shape=(3, -2, -5)),
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_file_of_other_examples_is_named_and_left(path, content):
    assert rewritten() != content
    path.write_bytes(content)
    for use in (
        lambda: open_examples(path, SHAPE, position=POSITION, has_rows=True),
        lambda: examples(path.parent, POSITION)["a"],
    ):
        with pytest.raises(ValueError, match=f"{path} is damaged: .* Move that"):
            use()
    assert path.read_bytes() == content
    # Without rows nothing is lost: a start that was killed left it.
    with open_examples(path, SHAPE, position=POSITION, has_rows=False):
        assert np.load(path).shape == SHAPE


def test_a_missing_file_and_unknown_points_are_named(path):
    with pytest.raises(ValueError, match="rows.tsv is damaged: the run has no point"):
        examples(path.parent, {"b": 0, "d": 1, "c": 2})
    path.unlink()
    for use in (
        lambda: open_examples(path, SHAPE, position=POSITION, has_rows=True),
        lambda: examples(path.parent, POSITION),
    ):
        with pytest.raises(FileNotFoundError, match=f"{path} is missing: rows beside"):
            use()


def test_an_example_that_its_row_does_not_describe_is_refused(path):
    rows, clean = ATTACK_ROWS.read(path.parent), np.zeros(SHAPE[1:])
    check_example(rows, 0, clean, clean + 1, path.parent)
    for other in (clean, clean + 1.1, clean + np.nan, clean + np.inf):
        with pytest.raises(ValueError, match="the example of 'a' is .* says 3.162"):
            check_example(rows, 0, clean, other, path.parent)


@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_a_full_disk_is_one_line_and_leaves_no_half_file(path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    other = path.with_name("x_adv-0-of-2.npy")
    monkeypatch.setattr(adversarial_examples.os, call, full)
    with pytest.raises(OSError, match="make room") as caught:
        open_examples(other, SHAPE, position=POSITION, has_rows=False)
    assert caught.value.errno == errno.ENOSPC
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "rows.tsv", "run.json", "x_adv.npy",
    ]  # fmt: skip
    if call == "fsync":
        with (
            pytest.raises(OSError, match="make room"),
            open_examples(path, SHAPE, position=POSITION, has_rows=True) as file,
        ):
            file.write("b", np.ones(SHAPE[1:], np.float32))


def test_a_file_system_that_cannot_reserve_is_filled(path, monkeypatch):
    def unable(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    for patch in (
        lambda: monkeypatch.setattr(os, "posix_fallocate", unable),
        lambda: monkeypatch.delattr(os, "posix_fallocate"),
    ):
        patch()
        path.unlink()
        open_examples(path, SHAPE, position=POSITION, has_rows=False).__exit__()
        assert not np.load(path).any() and np.load(path).shape == SHAPE


def test_names_of_files_tell_ids_apart():
    name = adversarial_examples.file_name
    # Folders of earlier runs have these.
    assert name("118-47824-0003@51200") == "118-47824-0003_51200"
    ids = ["cat/a b@0", "cat/a_b@0", "cat_a_b@0", "x" * 300, "x" * 301]
    assert len({name(id) for id in ids}) == len(ids)
    assert all("/" not in name(id) and len(name(id)) < 120 for id in ids)
