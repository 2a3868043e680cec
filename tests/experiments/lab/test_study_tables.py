from advjax.reports import page
from experiments.lab.study_tables import listing, pivot, sections


def test_a_missing_cell_is_a_dash():
    texts = {("a", 1): "0.5", ("b", 2): "0.7"}
    table = pivot(
        "of", {"a": "A", "b": "B"}, {1: "one", 2: "two"}, lambda *key: texts.get(key)
    )
    assert table.header == ["of", "one", "two"]
    assert table.rows == [["A", "0.5", "–"], ["B", "–", "0.7"]]


def test_a_listing_has_a_row_for_each_item():
    columns = {"n": str, "half": lambda n: None if n % 2 else f"{n // 2}"}
    table = listing([3, 4], columns)
    assert table.header == ["n", "half"]
    assert table.rows == [["3", "–"], ["4", "2"]]
    assert [*sections({"All": table, "None": listing([], columns)}, level=3)] == [
        page.Heading("All", 3),
        table,
    ]
