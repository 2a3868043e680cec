"""Metrics of a training in event files, for TensorBoard."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from advjax.training import Observer

FOLDER = "tensorboard"
"""The folder in a home; each training has one in it, named like its classifier."""


@contextlib.contextmanager
def observer(folder: pathlib.Path | None) -> Iterator[Observer | None]:
    """An observer that writes an event file, and steps per second; None without folder.

    A start that continues a training writes a file of its own, which begins with the
    order to drop earlier points from its first step on. TensorBoard then shows each
    step once. Points are on disk when a call returns.
    """
    if folder is None:
        yield None
        return
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2, summary_pb2

    writer, before = None, None

    def write(step: int, **content: Any) -> None:
        event = event_pb2.Event(step=step, wall_time=time.time(), **content)
        writer.write_event(event)

    def observe(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal writer, before
        if writer is None:
            folder.mkdir(parents=True, exist_ok=True)
            # Names have whole seconds, and two starts can share one.
            writer = EventsWriter(str(folder / "events"), f".{os.getpid()}.{step}")
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            write(step, session_log=start)
        now, found = time.monotonic(), dict(metrics)
        if before and step > before[0]:
            pace = (step - before[0]) / (now - before[1])
            found["train/steps_per_second"] = pace
        if before is None or step > before[0]:
            before = step, now
        values = [
            summary_pb2.Summary.Value(tag=name, simple_value=value)
            for name, value in found.items()
        ]
        write(step, summary=summary_pb2.Summary(value=values))
        writer.flush()

    try:
        yield observe
    finally:
        if writer is not None:
            writer.close()
