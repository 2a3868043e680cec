"""A part in a process of its own, whose rows are read as they come."""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from experiments.benchmarks.parts import Part, Row, Size
from experiments.lab.console import say


def rows_of(part: Part, size: Size, limit_s: float) -> Iterator[Row | dict[str, Any]]:
    """Yield the setting of a part's process and its rows, as soon as each is there.

    A process that reaches the limit is killed, with those that it started; that, and a
    failure, is a row too.
    """
    spec = {
        "function": part.function,
        "size": size._asdict(),
        "options": dict(part.options),
    }
    program = "from experiments.benchmarks.parts import processes; processes.serve()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        # Our contestants share the device with PyTorch's.
        env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        start_new_session=True,
    )
    over = threading.Event()

    def kill() -> None:
        over.set()
        _kill(process)

    timer = threading.Timer(limit_s, kill)
    timer.start()
    try:
        for line in process.stdout:
            try:
                found = json.loads(line)
            except ValueError:  # the last line of a process that was killed
                break
            yield found if "setting" in found else Row(**found)
        code = process.wait()
        if over.is_set():
            yield Row(
                "", "the rest", "failed", note=f"over the limit of {limit_s:.0f} s"
            )
        elif code:
            ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            yield Row("", "the rest", "failed", note=f"the process ended with {ended}")
    finally:
        timer.cancel()
        _kill(process)
        process.stdin.close()
        process.stdout.close()


def _kill(process: subprocess.Popen) -> None:
    """Kill the process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def serve() -> None:
    """Do the part that the first argument names; print its rows as lines of JSON."""
    # Processes that it starts must not hold the pipe open.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    spec = json.loads(sys.argv[1])
    size = Size(**spec["size"])

    def answer(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=answers, flush=True)

    try:
        if size.cache:
            from advjax.runtime.compilation import use_disk_cache

            use_disk_cache(size.cache)
        from experiments.benchmarks import results

        answer({"setting": results.setting(["torch"])})
        module, name = spec["function"].split(":")
        module = importlib.import_module(f"experiments.benchmarks.parts.{module}")
        for row in getattr(module, name)(size, **spec["options"]):
            answer(row._asdict())
    except Exception as error:  # the other parts go on
        answer(failure("", "the rest", error)._asdict())


def _end_with_parent() -> None:
    """Kill this process and those that it started once the program has ended."""
    os.read(0, 1)  # returns when the program's end of the pipe is closed
    os.killpg(0, signal.SIGKILL)


def failure(work: str, name: str, error: Exception) -> Row:
    """The row of something that failed; its traceback goes to standard error."""
    import traceback

    from advjax.runtime import failures

    say("".join(traceback.format_exception(error)))
    return Row(work, name, "failed", note=failures.in_one_line(error, most=200))
