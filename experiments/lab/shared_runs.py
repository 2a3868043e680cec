"""Runs that several processes write together."""

import pathlib
from typing import Any

from advjax.runs import folder
from advjax.runs.rows import shard_name, shards
from advjax.runtime import parallel


def open_together(workdir: pathlib.Path, **run: Any) -> folder.RunFolder:
    """Open a run in all processes; fail in all where it fails in one.

    Args:
        workdir: the run's folder.
        **run: of `open_run`, but for the shard.

    Raises:
        ValueError: other processes have the folder on disks of their own, or what
            `open_run` refuses.
    """
    here = parallel.process()
    opened = parallel.all_do(
        f"open {workdir}",
        lambda: folder.open_run(workdir, argument="--workdir", shard=here, **run),
    )
    if here.count > 1:
        check_shared(workdir, here.count)
    return opened


def check_shared(workdir: pathlib.Path, count: int) -> None:
    """Refuse a folder that the other processes have on disks of their own.

    Raises:
        ValueError: the rows of another process are not there.
    """
    there = {path.name for path in shards(workdir)}
    names = {shard_name(index, count) for index in range(count)}
    if absent := names - there:
        raise ValueError(
            f"{workdir} has no {', '.join(sorted(absent))}: the other processes write "
            "elsewhere. Give every process the same --home (or --workdir), on a disk "
            "that all of them see"
        )
