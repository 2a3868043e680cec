import io
import os

import pytest

from advjax.runtime.progress import Progress, duration


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (4.24, "4.2 s"),
        (42.4, "42 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_log_gets_few_plain_lines_and_a_summary():
    stream, clock = io.StringIO(), Clock()
    with Progress("read", total=100, stream=stream, clock=clock) as progress:
        for _ in range(100):
            clock.now += 1.0
            progress.advance(note="fine")
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert lines[0] == "read: 15/100 examples 15%, 1 min 25 s left, fine"
    assert lines[-1] == "read: 100 examples in 1 min 40 s, 1 examples/s, fine"
    assert len(lines) == 100 // 15 + 1


def test_terminal_line_is_redrawn_in_place_and_throttled(monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((60, 9)))
    stream, clock = Terminal(), Clock()
    with Progress("read", total=1000, stream=stream, clock=clock) as progress:
        for _ in range(1000):
            clock.now += 0.01
            progress.advance(note="x" * 80)
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    drawn = text.split("\r")[1:]
    assert 80 <= len(drawn) <= 102
    assert all(len(line.replace("\x1b[K", "").rstrip("\n")) < 60 for line in drawn)


def test_compilation_does_not_spoil_the_estimate():
    clock = Clock()
    progress = Progress("t", total=12, stream=io.StringIO(), clock=clock)
    assert progress.remaining_s is None
    clock.now = 100.0  # one piece, nearly all of it compilation
    progress.advance()
    assert progress.remaining_s == pytest.approx(1100.0)
    clock.now = 102.0
    progress.advance()
    assert progress.remaining_s == pytest.approx(20.0)


def test_a_resumed_task_counts_only_its_own_pace():
    stream, clock = io.StringIO(), Clock()
    with Progress(
        "certify", total=300, unit="points", done=200, stream=stream, clock=clock
    ) as progress:
        clock.now = 20.0
        progress.advance(50)
        assert progress.remaining_s == pytest.approx(20.0)
    assert stream.getvalue().splitlines() == [
        "certify: 250/300 points 83%, 20 s left",
        "certify: 250 points in 20 s, 2.5 points/s",
    ]


def test_a_failed_task_says_where_it_stopped():
    stream, clock = io.StringIO(), Clock()
    with (
        pytest.raises(KeyError),
        Progress("build", total=9, stream=stream, clock=clock) as progress,
    ):
        clock.now = 2.0
        progress.advance(4)
        raise KeyError
    assert stream.getvalue() == "build: stopped at 4 of 9 examples after 2.0 s\n"


def test_without_a_standard_error_the_work_goes_on(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with Progress("certify", total=1) as progress:
        progress.advance()
    assert progress.done == 1
