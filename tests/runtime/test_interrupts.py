"""Signals in real processes, without JAX."""

import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BEGIN = """
import gc, os, signal, sys, time
from advjax.runtime import interrupts
assert not {"jax", "numpy", "absl"} & set(sys.modules)
signal.signal(signal.SIGINT, signal.{handler})
interrupts.install("interrupted: as a test")

def stop(number=signal.SIGINT):
    os.kill(os.getpid(), number)

def work(seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)
"""


def run(text, *, handler="default_int_handler"):
    done = subprocess.run(
        # A job in the background of a script is started to ignore Ctrl-C.
        [sys.executable, "-c", BEGIN.replace("{handler}", handler) + text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "name, code", [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)
def test_a_signal_ends_in_one_line_after_the_cleanup(name, code):
    found = run(
        f"""
try:
    stop(signal.{name})
    work()
finally:
    time.sleep(0.5)  # longer than the watch waits for one who does not hear
    print("saved", flush=True)
"""
    )
    assert found == (code, "saved\n", "interrupted: as a test\n")


SWALLOWED = {
    "in a finaliser": """
class Odd:
    def __del__(self):
        stop()
        sum(range(100))
Odd()
work()
""",
    "in a garbage collection": """
gc.callbacks.append(lambda phase, info: stop() or sum(range(100)))
gc.collect()
gc.callbacks.clear()
work()
""",
    "by code that catches everything": """
try:
    stop()
    work()
except BaseException:
    pass
work()
""",
    "as another error": """
def convert():
    try:
        stop()
        work()
    except BaseException as error:
        failed.append(error)
failed = []
convert()
raise RuntimeError("INTERNAL: a callback failed")
""",
}


@pytest.mark.parametrize("how", SWALLOWED)
def test_an_exception_that_is_swallowed_is_raised_again(how):
    assert run(SWALLOWED[how]) == (130, "", "interrupted: as a test\n")


def test_an_import_hears_no_exception(tmp_path):
    # That of jaxlib would abort.
    (tmp_path / "heavy.py").write_text(
        "import __main__\n"
        "try:\n    __main__.stop()\n    __main__.work()\n"
        "except BaseException:\n    print('raised', flush=True)\n"
    )
    found = run(f"sys.path.insert(0, {str(tmp_path)!r})\nimport heavy")
    assert found == (130, "", "interrupted: as a test\n")


DEAF = """
import ctypes, threading
# The signal goes to another thread, so that a call in C is not cut short by it.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
"""


def test_a_program_that_hears_nothing_is_ended_all_the_same():
    found = run(
        DEAF
        + """
interrupts.STUCK_S = 0.5
interrupts.last_words(lambda: print("told the others", flush=True))
threading.Timer(0.2, stop, [signal.SIGTERM]).start()
ctypes.CDLL(None).sleep(30)
"""
    )
    assert found == (143, "told the others\n", "interrupted: as a test\n")


def test_cleanup_has_an_end():
    found = run(
        """
interrupts.CLEANUP_S = 0.5
try:
    stop()
    work()
finally:
    work()
"""
    )
    assert found == (130, "", "interrupted: as a test\n")


@pytest.mark.parametrize("where", ["in C", "in its cleanup"])
def test_a_second_signal_ends_the_program_at_once(where):
    began = time.monotonic()
    if where == "in C":
        text = DEAF + "threading.Timer(0.2, stop, [signal.SIGTERM]).start()\n"
        text += "threading.Timer(0.6, stop, [signal.SIGTERM]).start()\n"
        text += "ctypes.CDLL(None).sleep(30)\n"
    else:
        text = "try:\n    stop(signal.SIGTERM)\n    work()\n"
        text += "finally:\n    time.sleep(0.5)\n    stop(signal.SIGTERM)\n    work()\n"
    assert run(text) == (143, "", "interrupted: as a test\n")
    assert time.monotonic() - began < 8


def test_the_same_signal_twice_within_a_moment_is_one_request():
    # `timeout` signals a process, and once more its group.
    found = run(
        """
try:
    stop(signal.SIGTERM)
    work()
finally:
    stop(signal.SIGTERM)
    time.sleep(0.4)
    print("saved", flush=True)
"""
    )
    assert found == (143, "saved\n", "interrupted: as a test\n")


def test_what_a_program_was_started_to_ignore_stays_ignored():
    assert run("stop()\nprint('done')", handler="SIG_IGN") == (0, "done\n", "")


def test_a_forked_child_has_the_handlers_of_the_system():
    found = run(
        """
import warnings

warnings.simplefilter("ignore")  # of threads, from Python 3.12 on
child = os.fork()
if child == 0:
    signal.pause()
time.sleep(0.2)
os.kill(child, signal.SIGTERM)
print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"""
    )
    assert found == (0, "15\n", "")


def test_a_finished_program_leaves_signals_to_the_system():
    found = run("interrupts.finish()\nstop(signal.SIGTERM)\nwork()")
    assert found == (-15, "", "")
