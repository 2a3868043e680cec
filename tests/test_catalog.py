import pytest

from advjax import catalog


def box(*, width=1, name="a", corners=(0, 0)):
    return width, name, corners


TABLE = {"box": box, "needy": lambda *, size: size}


def test_parse_reads_a_name_alone():
    assert catalog.parse(" box ") == ("box", {})


def test_parse_reads_literals():
    text = "box(width=-2.5, name='x', corners=(1, None))"
    assert catalog.parse(text) == (
        "box",
        {"width": -2.5, "name": "x", "corners": (1, None)},
    )


@pytest.mark.parametrize(
    "text", ["", "box(", "box(3)", "a.b", "box(**{})", "__import__('os')", "box(x=f())"]
)
def test_parse_evaluates_nothing(text):
    with pytest.raises(ValueError, match="cannot read the choice"):
        catalog.parse(text)


def test_pick_builds_with_options_and_defaults():
    assert catalog.pick("box(width=3)", TABLE, name="given", unknown=1) == (
        3,
        "given",
        (0, 0),
    )


def test_pick_names_what_there_is():
    with pytest.raises(ValueError, match="Did you mean 'box'.*box, needy"):
        catalog.pick("boxx", TABLE)
    with pytest.raises(ValueError, match="no option height.*width, name, corners"):
        catalog.pick("box(height=1)", TABLE)
    with pytest.raises(ValueError, match="needs the option size"):
        catalog.pick("needy", TABLE)
