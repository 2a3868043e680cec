import threading
import warnings

import pytest

from advjax.runtime import patience as module
from advjax.runtime.patience import patience


class Timer:
    """A timer whose time is over when the test says so."""

    def __init__(self, seconds, function, args):
        assert seconds == module.PATIENCE_S
        self.function, self.args, self.runs = function, args, False
        Timer.last = self

    def start(self):
        self.runs = True

    def cancel(self):
        self.runs = False

    def time_is_over(self):
        if self.runs:
            self.function(*self.args)


@pytest.fixture(autouse=True)
def timer(monkeypatch):
    monkeypatch.setattr(threading, "Timer", Timer)


def test_long_work_is_said():
    with pytest.warns(UserWarning, match="^It takes long$"), patience("It takes long"):
        Timer.last.time_is_over()


def test_ended_work_is_not_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with patience("It takes long") as ended:
            ended()
            Timer.last.time_is_over()
        with patience("It takes long"):
            pass
        Timer.last.time_is_over()
        with patience(""):
            Timer.last.time_is_over()
