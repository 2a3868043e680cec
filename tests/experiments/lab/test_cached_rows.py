from typing import NamedTuple

import pytest

from experiments.lab import cached_rows


class Row(NamedTuple):
    id: str
    answer: int
    change_db: float


ROWS = [Row("a\tb", 1, 0.1), Row("c", -1, 3.0)]


def test_rows_come_back_as_they_were(tmp_path):
    file = tmp_path / "folder" / "rows.tsv"
    digest = cached_rows.digest_of(["network", "a"])
    assert cached_rows.read(file, Row, digest) is None
    cached_rows.write(file, ROWS, digest)
    assert cached_rows.read(file, Row, digest) == ROWS
    assert isinstance(cached_rows.read(file, Row, digest)[0].answer, int)


@pytest.mark.parametrize("text", ["", "# other\nid\n", "id\tanswer\tchange_db\n"])
def test_rows_that_something_else_decided_are_not_taken(tmp_path, text):
    file = tmp_path / "rows.tsv"
    cached_rows.write(file, ROWS, cached_rows.digest_of(["one"]))
    assert cached_rows.read(file, Row, cached_rows.digest_of(["two"])) is None
    file.write_text(text)
    assert cached_rows.read(file, Row, cached_rows.digest_of(["one"])) is None


def test_a_digest_knows_where_a_text_ends():
    assert cached_rows.digest_of(["ab", "c"]) != cached_rows.digest_of(["a", "bc"])


ODD = [Row("a\udcff\x0b", 0, float("inf")), Row("", 1, float("nan"))]


def test_odd_texts_and_numbers_come_back(tmp_path):
    file = tmp_path / "rows.tsv"
    cached_rows.write(file, ODD, "d")
    assert repr(cached_rows.read(file, Row, "d")) == repr(ODD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\t-1\t", b"\t1\t"), (b"3.0", b"4.0"), (b"\tanswer\t", b"\tquestion\t"),
        (b"-1\t3.0\n", b""), (b"3.0", b'"3.0'), (b"c", b"\0"), (b"3.0", b"x" * 200_000),
    ],
)  # fmt: skip
def test_changed_rows_are_reported_and_computed_again(tmp_path, capsys, old, new):
    file = tmp_path / "rows.tsv"
    cached_rows.write(file, ROWS, "d")
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    assert cached_rows.read(file, Row, "d") is None
    said = capsys.readouterr().err
    assert str(file) in said and "again" in said
    # A report, which cannot find them, does not leave them out.
    with pytest.raises(ValueError, match=str(file)):
        cached_rows.read(file, Row)


def test_rows_of_earlier_versions_have_no_digest_of_their_own(tmp_path):
    file = tmp_path / "rows.tsv"
    file.write_text("# d\nid\tanswer\tchange_db\nc\t-1\t3.0\n")
    assert cached_rows.read(file, Row, "d") == cached_rows.read(file, Row) == [ROWS[1]]
    file.write_text("# d\nid\tanswer\tchange_db\nc\t1_0\t3.0\n")
    assert cached_rows.read(file, Row, "d") is None
    with pytest.raises(ValueError, match="line 3: answer"):
        cached_rows.read(file, Row)
