from typing import NamedTuple

import pytest

from experiments.studies import kept_rows


class Row(NamedTuple):
    id: str
    answer: int
    change_db: float


ROWS = [Row("a\tb", 1, 0.1), Row("c", -1, 3.0)]


def test_rows_come_back_as_they_were(tmp_path):
    file = tmp_path / "folder" / "rows.tsv"
    digest = kept_rows.digest_of(["network", "a"])
    assert kept_rows.read(file, Row, digest) is None
    kept_rows.write(file, ROWS, digest)
    assert kept_rows.read(file, Row, digest) == ROWS
    assert isinstance(kept_rows.read(file, Row, digest)[0].answer, int)


@pytest.mark.parametrize("text", ["", "# other\nid\n", "id\tanswer\tchange_db\n"])
def test_rows_that_something_else_decided_are_not_taken(tmp_path, text):
    file = tmp_path / "rows.tsv"
    kept_rows.write(file, ROWS, kept_rows.digest_of(["one"]))
    assert kept_rows.read(file, Row, kept_rows.digest_of(["two"])) is None
    file.write_text(text)
    assert kept_rows.read(file, Row, kept_rows.digest_of(["one"])) is None


def test_a_digest_knows_where_a_text_ends():
    assert kept_rows.digest_of(["ab", "c"]) != kept_rows.digest_of(["a", "bc"])
