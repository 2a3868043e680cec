from advjax import callables


class Shrinking(dict):
    """A table that loses an entry while its pairs are read.

    The collector does this to tables of weak references.
    """

    def items(self):
        for pair in super().items():
            self.pop("second", None)
            yield pair


def test_a_table_that_shrinks_while_it_is_read_has_been_copied():
    found = callables._inside(Shrinking(first=1, second=2))
    assert [(key, inner) for _, key, inner in found] == [("first", 1), ("second", 2)]
