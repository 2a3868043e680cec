import pytest

from advjax.runtime.text import printable


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain name.wav", "plain name.wav"),
        ("séance 音", "séance 音"),
        ("new\nline\t", r"new\nline\t"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("bad\udcff", r"bad\udcff"),
        ("left\u202eright", r"left\u202eright"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown
    printable(text).encode("utf-8")
