from experiments.lab.pivot import pivot


def test_a_missing_cell_is_a_dash():
    texts = {("a", 1): "0.5", ("b", 2): "0.7"}
    table = pivot(
        "of", {"a": "A", "b": "B"}, {1: "one", 2: "two"}, lambda *key: texts.get(key)
    )
    assert table.header == ["of", "one", "two"]
    assert table.rows == [["A", "0.5", "–"], ["B", "–", "0.7"]]
