import errno
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from advjax.runs import folder as runs
from advjax.runs.descriptions import add_outcome
from advjax.runs.folder import description, open_run
from advjax.runs.row_types import CERTIFICATES, CertificateRow

SETTINGS = {"rep": "mfbe", "noise": {"sigma": 0.25, "law": "gaussian"}, "seed": 0}
ENVIRONMENT = {"jax": "0.10.2", "device": "cpu"}


def row(number: int) -> CertificateRow:
    return CertificateRow(
        number, 1, 1, 0.1 * number, True, 0.5, f"clip-{number}", 0.9, 95, 100, 20.0
    )


def start(folder, settings=SETTINGS, environment=ENVIRONMENT):
    return open_run(
        folder, settings=settings, environment=environment, argument="--workdir"
    )


def lines(folder) -> list[bytes]:
    return (folder / "rows.tsv").read_bytes().splitlines(keepends=True)


def test_a_new_run_has_a_header_and_says_what_it_is(tmp_path):
    folder = tmp_path / "runs" / "first"
    with start(folder) as run:
        assert run.done == set()
        run.append(row(0))
        # On disk at once, not when the run is closed.
        assert lines(folder) == [CERTIFICATES.header, CERTIFICATES.line(row(0))]
        assert run.done == {"clip-0"}
        assert len(run.rows()) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["rows.tsv", "run.json"]
    told = description(folder)
    assert told["settings"] == SETTINGS and told["environment"] == ENVIRONMENT


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path):
    with start(tmp_path / "whole") as run:
        for number in range(5):
            run.append(row(number))
    with start(tmp_path / "cut") as run:
        for number in range(3):
            run.append(row(number))
    # A kill in the middle of the third row.
    path = tmp_path / "cut" / "rows.tsv"
    os.truncate(path, path.stat().st_size - 7)
    with start(tmp_path / "cut") as run:
        assert run.done == {"clip-0", "clip-1"}
        for number in range(5):
            if row(number).id not in run.done:
                run.append(row(number))
    for name in ("rows.tsv", "run.json"):
        whole, cut = (tmp_path / run / name for run in ("whole", "cut"))
        assert whole.read_bytes() == cut.read_bytes()


@pytest.mark.parametrize("left", [0, 5, len(CERTIFICATES.header) - 1])
def test_a_header_cut_short_is_written_again(tmp_path, left):
    start(tmp_path).close()
    os.truncate(tmp_path / "rows.tsv", left)
    with start(tmp_path) as run:
        run.append(row(1))
    assert lines(tmp_path) == [CERTIFICATES.header, CERTIFICATES.line(row(1))]


def test_a_cut_multibyte_character_is_dropped_with_its_line(tmp_path):
    with start(tmp_path) as run:
        run.append(row(0))
    with (tmp_path / "rows.tsv").open("ab") as file:
        file.write(CERTIFICATES.line(row(1)._replace(id="ü"))[:30] + "ü".encode()[:1])
    with start(tmp_path) as run:
        assert run.done == {"clip-0"}


def test_other_settings_are_refused_and_every_difference_is_named(tmp_path):
    with start(tmp_path) as run:
        run.append(row(0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = {"rep": "mfbe", "noise": {"sigma": 0.5, "law": "gaussian"}, "n": 1000}
    with pytest.raises(ValueError) as caught:
        start(tmp_path, other)
    message = str(caught.value)
    assert "noise.sigma: 0.25 there, 0.5 now" in message
    assert "n: '(absent)' there, 1000 now" in message
    assert "seed: 0 there, '(absent)' now" in message
    assert "law" not in message and "rep:" not in message
    assert "choose another --workdir" in message
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before == after
    start(tmp_path).close()  # the refusal let go of the lock


def test_equal_settings_in_other_clothes_are_equal(tmp_path):
    settings = {"sigma": 0.5, "shape": [160, 64], "path": "records", "none": {}}
    start(tmp_path, settings).close()
    same = {
        "none": {},
        "path": pathlib.Path("records"),
        "shape": (np.int64(160), 64),
        "sigma": np.float64(0.5),
    }
    start(tmp_path, same).close()
    with pytest.raises(ValueError, match="none: {} there"):
        start(tmp_path, same | {"none": {"a": 1}})


def test_settings_that_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(TypeError, match="JSON values"):
        start(tmp_path / "a", {"key": object()})
    with pytest.raises(ValueError, match="JSON"):
        start(tmp_path / "b", {"sigma": float("nan")})


def test_another_environment_continues_and_is_told(tmp_path):
    start(tmp_path).close()
    for _ in range(2):
        start(tmp_path, environment={"jax": "0.10.3", "device": "cpu"}).close()
    told = description(tmp_path)
    assert told["environment"] == ENVIRONMENT
    assert told["resumed"] == [{"jax": "0.10.3", "device": "cpu"}]


def test_another_command_or_date_is_no_other_environment(tmp_path):
    for date in ("2026-11-29", "2026-11-30"):
        given = {**ENVIRONMENT, "date": date, "command": f"certify {date}"}
        start(tmp_path, environment=given).close()
    found = description(tmp_path)
    assert found["environment"]["date"] == "2026-11-29"
    assert found["resumed"] == []


def test_an_outcome_is_added_to_what_is_there(tmp_path):
    start(tmp_path).close()
    before = description(tmp_path)
    assert before["outcome"] == {}
    add_outcome(tmp_path, duration_s=np.float32(2.0))
    add_outcome(tmp_path, base_accuracy={"count": 3, "total": 4})
    outcome = {"duration_s": 2.0, "base_accuracy": {"count": 3, "total": 4}}
    assert description(tmp_path) == {**before, "outcome": outcome}
    start(tmp_path).close()


def test_files_that_are_no_run_are_left_alone(tmp_path):
    path = tmp_path / "rows.tsv"
    cohen = CERTIFICATES.header.split(b"\tid")[0] + b"\n0\t3\t-1\t0.0\t0\t15.4\n"
    for content in (b"my notes", b"my notes\n", cohen):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="other columns"):
            start(tmp_path)
        assert path.read_bytes() == content
    path.write_bytes(CERTIFICATES.content([row(0)]))
    with pytest.raises(ValueError, match="no run.json"):
        start(tmp_path)
    path.unlink()
    for content in (b"{", b"[]", b'{"seed": 0}', b"\xff"):
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(ValueError, match="run.json"):
            start(tmp_path)
        path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match="not the folder of a run"):
        description(tmp_path / "nowhere")


def test_a_damaged_row_stops_the_run_and_names_the_line(tmp_path):
    with start(tmp_path) as run:
        run.append(row(0))
    with (tmp_path / "rows.tsv").open("ab") as file:
        file.write(b"rubbish\n" + CERTIFICATES.line(row(1)))
    before = lines(tmp_path)
    with pytest.raises(ValueError, match="line 3"):
        start(tmp_path)
    assert lines(tmp_path) == before


def test_a_point_is_never_written_twice(tmp_path):
    with start(tmp_path) as run:
        run.append(row(0))
        with pytest.raises(ValueError, match="already has a row"):
            run.append(row(0))
    assert lines(tmp_path) == [CERTIFICATES.header, CERTIFICATES.line(row(0))]


def test_two_processes_cannot_write_one_run(tmp_path):
    code = (
        "import sys; from advjax.runs.folder import open_run\n"
        "open_run(sys.argv[1], settings={}, environment={})"
    )
    with open_run(tmp_path, settings={}, environment={}):
        with pytest.raises(BlockingIOError, match="another process"):
            open_run(tmp_path, settings={}, environment={})
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True
        )
        assert other.returncode != 0 and "another process is writing" in other.stderr
    open_run(tmp_path, settings={}, environment={}).close()


def share(folder, index, count):
    return open_run(
        folder, settings=SETTINGS, environment=ENVIRONMENT, shard=(index, count)
    )


def test_processes_write_a_file_each_and_any_number_goes_on(tmp_path):
    with share(tmp_path, 0, 2) as first, share(tmp_path, 1, 2) as second:
        for number in (0, 2):
            first.append(row(number))
        second.append(row(1))
        assert first.rows().id == ("clip-0", "clip-1", "clip-2")
    # A kill in the middle of a row, of a process that is not there again.
    with (tmp_path / "rows-1-of-2.tsv").open("ab") as file:
        file.write(CERTIFICATES.line(row(3))[:-7])
    done = {"clip-0", "clip-1", "clip-2"}
    with share(tmp_path, 2, 3) as third:
        assert third.done == done
        with pytest.raises(ValueError, match="already has a row"):
            third.append(row(1))
        third.append(row(4))
    with start(tmp_path) as alone:
        assert alone.done == done | {"clip-4"}
        alone.append(row(3))
        assert alone.rows().idx.tolist() == [0, 1, 2, 3, 4]
    names = {path.name for path in tmp_path.iterdir()}
    shards = {"rows-0-of-2.tsv", "rows-1-of-2.tsv", "rows-2-of-3.tsv"}
    assert names == {"rows.tsv", "run.json"} | shards


@pytest.mark.parametrize("other", [(0, 1), (1, 3), (1, 2)])
def test_a_start_is_refused_while_a_process_of_another_is_writing(tmp_path, other):
    with share(tmp_path, 1, 2) as at_work:
        with pytest.raises(BlockingIOError, match="another process"):
            share(tmp_path, *other)
        at_work.append(row(1))
        # The other one of the same start, however late, is welcome.
        share(tmp_path, 0, 2).close()
    share(tmp_path, *other).close()


def test_other_settings_are_refused_by_every_process(tmp_path):
    share(tmp_path, 0, 2).close()
    with pytest.raises(ValueError, match="seed: 0 there, 1 now"):
        open_run(
            tmp_path, settings=SETTINGS | {"seed": 1}, environment={}, shard=(1, 2)
        )


def test_of_processes_that_start_together_one_writes_run_json(tmp_path, monkeypatch):
    """The other has looked before it was there, and must not write over it."""
    exists = pathlib.Path.exists

    def not_yet(path, **options):
        return path.name != "run.json" and exists(path, **options)

    share(tmp_path, 0, 2).close()
    monkeypatch.setattr(pathlib.Path, "exists", not_yet)
    with pytest.raises(ValueError, match="seed: 0 there, 1 now"):
        open_run(
            tmp_path, settings=SETTINGS | {"seed": 1}, environment={}, shard=(1, 2)
        )
    monkeypatch.undo()
    assert description(tmp_path)["settings"] == SETTINGS


def test_a_full_disk_leaves_whole_rows_and_the_run_continues(tmp_path):
    """The kernel's own limit on file size: a short write, then an error."""
    code = """
import resource, signal, sys
from advjax.runs.folder import open_run
from advjax.runs.row_types import CertificateRow
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = open_run(sys.argv[1], settings={}, environment={})
size = (run.folder / "rows.tsv").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 150, resource.RLIM_INFINITY))
for i in range(9):
    run.append(CertificateRow(i, 1, 1, 0.1, True, 0.5, f"clip-{i}", 0.9, 95, 100, 20.0))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "2 rows so far are safe" in done.stderr
    assert "same command again" in done.stderr
    found = lines(tmp_path)
    assert len(found) == 3 and found[-1].endswith(b"\n")
    with open_run(tmp_path, settings={}, environment={}) as run:
        assert run.done == {"clip-0", "clip-1"}
        run.append(row(2))
    assert len(lines(tmp_path)) == 4


def test_a_disk_that_fails_on_flush_loses_no_earlier_row(tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with start(tmp_path) as run:
        run.append(row(0))
        with monkeypatch.context() as patch:
            patch.setattr(runs.os, "fsync", full)
            with pytest.raises(OSError, match="No space left") as caught:
                run.append(row(1))
        assert caught.value.errno == errno.ENOSPC
        assert lines(tmp_path) == [CERTIFICATES.header, CERTIFICATES.line(row(0))]
        run.append(row(1))  # room was made
    assert lines(tmp_path) == [
        CERTIFICATES.header,
        CERTIFICATES.line(row(0)),
        CERTIFICATES.line(row(1)),
    ]


def test_a_full_disk_keeps_the_old_run_json(tmp_path, monkeypatch):
    start(tmp_path).close()
    before = (tmp_path / "run.json").read_bytes()

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runs.os, "fsync", full)
    with pytest.raises(OSError):
        start(tmp_path, environment={"device": "another"})
    assert (tmp_path / "run.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.tsv", "run.json"]
    json.loads(before)
