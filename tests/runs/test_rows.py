"""Schemas and rows by column, apart from any kind of run."""

import math
from typing import Annotated, NamedTuple

import numpy as np
import pytest

from advjax.runs.cells import Real, Text
from advjax.runs.columns import concatenate
from advjax.runs.rows import Schema


class Bird(NamedTuple):
    name: Annotated[str, Text()]
    wings: int
    metres: Annotated[float, Real(low=0, format=".2f")]
    sings: bool = True

    @property
    def id(self) -> str:
        return self.name.lower()


BIRDS = [Bird("Wren", 2, 0.126), Bird("Heron", 2, 0.9, False), Bird("Owl", 1, 3.0)]
PLAIN, QUOTED = Schema(Bird, "birds"), Schema(Bird, "birds", quoted=True)


def test_a_row_type_is_a_table():
    content = PLAIN.content(BIRDS[:2])
    assert content == (
        b"name\twings\tmetres\tsings\nWren\t2\t0.13\tTrue\nHeron\t2\t0.90\tFalse\n"
    )
    assert QUOTED.content(BIRDS) == PLAIN.content(BIRDS)


def test_rows_by_column_are_taken_joined_and_iterated():
    rows = PLAIN.rows(BIRDS)
    assert list(rows) == BIRDS and rows.id == ("wren", "heron", "owl")
    assert rows.wings.dtype == np.int64 and rows.sings.dtype == bool
    assert list(rows.take(rows.metres > 0.5)) == BIRDS[1:]
    assert list(rows.take([2, 0])) == [BIRDS[2], BIRDS[0]]
    both = concatenate([rows, rows.take([1])])
    assert len(both) == 4 and both.name == ("Wren", "Heron", "Owl", "Heron")
    assert len(PLAIN.rows([])) == 0
    with pytest.raises(AttributeError, match="no column 'feathers'"):
        _ = rows.feathers


def test_only_a_quoted_table_holds_tabs_and_line_breaks(tmp_path):
    odd = Bird('a\tb\n"c"', -1, math.pi)
    with pytest.raises(ValueError, match="the name .* has a tab or a line break"):
        PLAIN.line(odd)
    file = tmp_path / "birds.tsv"
    QUOTED.write(file, [odd])
    (found,) = QUOTED.parse(file.read_bytes(), file)
    assert found == odd._replace(metres=3.14)


def test_a_bad_line_is_named_below_other_lines(tmp_path):
    content = QUOTED.content(BIRDS).replace(b"0.90", b"-0.90")
    with pytest.raises(ValueError, match="line 4: metres must be 0 or more"):
        QUOTED.parse(content, tmp_path, above=1)
    with pytest.raises(ValueError, match="line 2: these are not the rows of birds"):
        QUOTED.parse(b"name\n", tmp_path, above=1)
    with pytest.raises(ValueError, match="is damaged"):
        QUOTED.parse(content.replace(b"Wren", b'"Wren'), tmp_path)


def test_rows_of_several_files_keep_their_order_and_each_id_once(tmp_path):
    (tmp_path / "rows-0-of-2.tsv").write_bytes(PLAIN.content(BIRDS[:2]))
    (tmp_path / "rows-1-of-2.tsv").write_bytes(PLAIN.content(BIRDS[1:]))
    assert list(PLAIN.read(tmp_path)) == [
        bird._replace(metres=round(bird.metres, 2)) for bird in BIRDS
    ]
    (tmp_path / "rows.tsv").write_bytes(PLAIN.content([BIRDS[0], BIRDS[0]]))
    with pytest.raises(ValueError, match="line 3: line 2 has the id 'wren' already"):
        PLAIN.read(tmp_path)
