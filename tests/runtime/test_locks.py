import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from advjax.runtime import locks
from advjax.runtime.names import LONGEST, hide

HOLDING = """
import sys, time
from advjax.runtime.locks import reserve
with reserve(sys.argv[1], say=print):
    print("has it", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path / "made")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_waits_says_for_whom_and_goes_on_after_a_kill(
    tmp_path, holder
):
    said = []

    def say(line):
        said.append(line)
        holder.kill()

    with locks.reserve(tmp_path / "made", say=say):
        assert holder.wait() == -signal.SIGKILL
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path / 'made'} is being made by ")
    assert f"process {holder.pid} on " in said[0]
    assert list(tmp_path.iterdir()) == []


def test_who_does_not_wait_is_refused_in_words(tmp_path, holder):
    with (
        pytest.raises(BlockingIOError, match=f"process {holder.pid} .*: wait for it"),
        locks.reserve(tmp_path / "made", wait=False),
    ):
        pytest.fail("two have it")
    with locks.reserve(tmp_path / "another", wait=False):
        pass


def test_an_interrupt_ends_the_waiting(tmp_path, holder):
    def interrupt(line):
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        locks.reserve(tmp_path / "made", say=interrupt),
    ):
        pytest.fail("two have it")
    assert holder.poll() is None


def test_of_many_at_once_one_is_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "POLL_S", 0.001)
    inside, most = [], []

    def work():
        for _ in range(5):
            with locks.reserve(tmp_path / "made"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 30
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_without_locks_work_goes_on(tmp_path, monkeypatch, code):
    def refuse(file, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locks.reserve(tmp_path / "made"), locks.lock_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_lets_go(tmp_path):
    with pytest.raises(ZeroDivisionError), locks.reserve(tmp_path / "made"):
        1 / 0  # noqa: B018
    with locks.reserve(tmp_path / "made", wait=False):
        pass


@pytest.mark.parametrize("name", ["plain", "x" * 255, "ü" * 127, "\udcff" * 200])
def test_a_name_of_any_length_can_be_hidden(tmp_path, name):
    hidden = hide(name, "partial-4194304@" + "h" * 64)
    assert len(os.fsencode(hidden)) <= 255
    assert hidden.startswith(f".{name[:40]}") or "\udcff" in name
    assert hide(name, "a") != hide(name[:-1] + "y", "a")
    with locks.reserve(tmp_path / name):
        assert len(list(tmp_path.iterdir())) == 1
    assert len(os.fsencode(hide("n" * LONGEST, "s"))) == LONGEST + 3
