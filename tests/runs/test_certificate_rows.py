import math
import re

import numpy as np
import pytest

from advjax.runs.row_types import CERTIFICATES, CertificateRow

ROW = CertificateRow(
    idx=4,
    label=7,
    predict=7,
    radius=0.1 + 0.2,
    correct=True,
    time=13.736080,
    id="speaker/7-001",
    p_lower=1 / 3,
    votes=999,
    n=1000,
    snr_db=32.123456,
    radius_wave=0.1,
    radius_wave_snr_db=50.0,
)
# Both spellings of a time span occur in Cohen's files.
COHEN = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    "0\t3\t-1\t0.0\t0\t0:00:13.736080\n"
    "20\t7\t7\t0.0734\t1\t15.4\n"
    "40\t4\t6\t1.25\t0\t0:02:31.238689\n"
)


def test_a_row_is_one_line_with_cohens_columns_first():
    assert CERTIFICATES.header.startswith(
        b"idx\tlabel\tpredict\tradius\tcorrect\ttime\tid\t"
    )
    assert CERTIFICATES.line(ROW) == (
        b"4\t7\t7\t0.30000000000000004\t1\t0:00:13.736080\t"
        b"speaker/7-001\t0.3333333333333333\t999\t1000\t32.1235\t0.1\t50.0000\n"
    )


def test_long_times_and_numpy_values_print_the_same_way():
    row = ROW._replace(
        radius=np.float64(0.30000000000000004),
        correct=np.True_,
        predict=np.int32(7),
        time=np.float32(0.0),
        p_lower=np.float64(1 / 3),
    )
    assert CERTIFICATES.line(row) == CERTIFICATES.line(ROW).replace(
        b"0:00:13.736080", b"0:00:00.000000"
    )
    # Rounded to microseconds without ever showing a sixtieth second.
    assert b"\t0:01:00.000000\t" in CERTIFICATES.line(ROW._replace(time=59.9999999))
    assert b"\t27:46:40.500000\t" in CERTIFICATES.line(ROW._replace(time=100_000.5))


def test_rows_read_back_as_the_same_numbers(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        ROW._replace(idx=i, id=f"clip {i} ü", radius=radius, p_lower=p, snr_db=math.inf)
        for i, (radius, p) in enumerate(rng.random((50, 2)))
    ]
    path = tmp_path / "rows.tsv"
    path.write_bytes(CERTIFICATES.content(rows))
    got = CERTIFICATES.read(tmp_path)
    assert len(got) == 50
    assert got.id == tuple(row.id for row in rows)
    np.testing.assert_array_equal(got.radius, [row.radius for row in rows])
    np.testing.assert_array_equal(got.p_lower, [row.p_lower for row in rows])
    assert got.correct.dtype == bool and got.correct.all()
    assert np.isinf(got.snr_db).all()
    np.testing.assert_allclose(got.time, 13.73608)


def test_files_from_before_the_radius_at_the_waveform_read(tmp_path):
    path = tmp_path / "rows.tsv"
    header = "\t".join(CertificateRow._fields[:11]).encode()
    line = b"\t".join(CERTIFICATES.line(ROW).split(b"\t")[:11])
    path.write_bytes(header + b"\n" + line + b"\n")
    rows = CERTIFICATES.read(tmp_path)
    assert rows.n.tolist() == [1000] and rows.snr_db.tolist() == [32.1235]
    assert np.isnan(rows.radius_wave).all()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_cohens_file_reads(tmp_path, ending):
    path = tmp_path / "sigma_0.25"
    path.write_bytes(COHEN.replace("\n", ending).encode())
    rows = CERTIFICATES.read(path)
    np.testing.assert_array_equal(rows.idx, [0, 20, 40])
    np.testing.assert_array_equal(rows.predict, [-1, 7, 6])
    np.testing.assert_array_equal(rows.radius, [0.0, 0.0734, 1.25])
    np.testing.assert_array_equal(rows.correct, [False, True, False])
    np.testing.assert_allclose(rows.time, [13.73608, 15.4, 151.238689])
    assert rows.id == ("0", "20", "40")
    assert np.isnan(rows.p_lower).all() and not rows.n.any()


def test_a_last_line_still_being_written_is_left_out(tmp_path):
    path = tmp_path / "rows.tsv"
    # Cut in the last cell: it would read as another number.
    path.write_bytes(CERTIFICATES.content([ROW, ROW._replace(id="b")])[:-3])
    assert CERTIFICATES.read(path).id == (ROW.id,)
    path.write_bytes(CERTIFICATES.header)
    assert len(CERTIFICATES.read(path)) == 0


def test_the_files_of_several_processes_read_as_one(tmp_path):
    def write(name, *numbers):
        rows = [ROW._replace(idx=n, id=f"clip-{n}") for n in numbers]
        (tmp_path / name).write_bytes(CERTIFICATES.content(rows))

    write("rows.tsv", 12, 3)
    write("rows-0-of-2.tsv", 0, 8)
    write("rows-1-of-2.tsv", 4, 8)  # 8 twice, as without locks it may be
    (tmp_path / "rows-10-of-11.tsv").write_bytes(b"")  # only just begun
    (tmp_path / "rows-of-mine.tsv").write_text("notes")
    found = CERTIFICATES.read(tmp_path)
    assert found.idx.tolist() == [0, 3, 4, 8, 12]
    assert found.id == ("clip-0", "clip-3", "clip-4", "clip-8", "clip-12")
    assert len(found.radius) == 5 and found.correct.dtype == bool
    # A file by its name is read as it stands.
    assert CERTIFICATES.read(tmp_path / "rows.tsv").idx.tolist() == [12, 3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\t7\t7\t", b"\tseven\t7\t", "line 3: label must be.*seven"),
        (
            b"0.30000000000000004",
            b"__import__('os')",
            "line 3: radius.*__import__",
        ),
        (b"\t1\t0:00", b"\tyes\t0:00", "line 3: correct must be 0 or 1"),
        (b"\t1000\t", b"\t", "line 3: expected 13 cells, found 12"),
        (b"\t1000\t", b"\t99999999999999999999\t", "line 3: n is too large: 9+"),
        (b"speaker/7-001", b"a\nb", "line 3: expected 13 cells, found 7"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, old, new, message):
    path = tmp_path / "rows.tsv"
    broken = CERTIFICATES.line(ROW).replace(old, new, 1)
    assert broken != CERTIFICATES.line(ROW)
    path.write_bytes(CERTIFICATES.content([ROW]) + broken)
    with pytest.raises(ValueError, match=re.escape(str(path)) + " " + message):
        CERTIFICATES.read(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "rows.tsv"
    for content in (
        b"",
        b"a,b,c\n1,2,3\n",
        CERTIFICATES.header.replace(b"radius", b"r"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="line 1: expected the columns idx label"):
            CERTIFICATES.read(path)
    with pytest.raises(FileNotFoundError, match="certify something first"):
        CERTIFICATES.read(tmp_path / "none.tsv")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="certify something first"):
        CERTIFICATES.read(tmp_path)


@pytest.mark.parametrize("wrong", ["a\tb", "a\nb", "a\rb"])
def test_an_id_that_would_break_the_file_is_refused(wrong):
    with pytest.raises(ValueError, match="tab or a line break"):
        CERTIFICATES.line(ROW._replace(id=wrong))


def test_an_id_of_undecodable_bytes_survives(tmp_path):
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    (tmp_path / "rows.tsv").write_bytes(CERTIFICATES.content([ROW._replace(id=name)]))
    assert CERTIFICATES.read(tmp_path).id == (name,)
