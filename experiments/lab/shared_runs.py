"""Runs that several processes write together."""

import pathlib
from collections.abc import Callable, Sequence

from advjax.runs.folder import RunFolder, num_missing
from advjax.runs.rows import shard_name, shards
from advjax.runtime import parallel
from experiments.lab.console import say


def open_together(folder: pathlib.Path, open_run: Callable[[], RunFolder]) -> RunFolder:
    """Open a run in all processes; fail in all if one fails.

    Raises:
        ValueError: other processes have the folder on disks of their own.
    """
    opened = parallel.all_do(f"open {folder}", open_run)
    count = parallel.process().count
    names = {shard_name(index, count) for index in range(count)}
    if absent := names - {path.name for path in shards(folder)}:
        raise ValueError(
            f"{folder} has no {', '.join(sorted(absent))}: the other processes write "
            "elsewhere. Give every process the same --home (or --workdir), on a disk "
            "that all of them see"
        )
    return opened


def are_finished(folders: Sequence[pathlib.Path]) -> bool:
    """True if no run lacks a row; otherwise says who writes the report."""
    if left := sum(map(num_missing, folders)):
        say(
            f"{left} rows are left to the other processes, and the report to the last "
            "of them. If one has ended early, give the same command again"
        )
    return not left
