"""Processes of this machine that count votes, each on its own cores.

XLA splits the work of one CPU device over threads, operation by operation, and they
wait for each other at every one. Processes share nothing and wait once a dispatch. Two
of them with a core each measured 10 to 13 percent more votes a second than one process
with two threads or two devices (ResCNN of width 16 and 64, Intel with AVX-512).

Every process runs the programs of one device, on its share of the tiles of a dispatch:
so the votes are those of one device. `worker` is the other end.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing import connection
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from advjax.runtime import compilation, targets
from advjax.runtime.usage import Usage
from advjax.smoothing.noises.base import AnyNoise, check_noise
from advjax.types import AnyArray, AnyCallable, Features, Key

_PATIENCE_S = 10.0

# Before JAX is imported: its pool gets a thread for each core of the process. Signals
# of a terminal or a scheduler reach the parent, which decides.
_PROGRAM = """
import json, os, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
setup = json.loads(sys.argv[1])
if setup["cores"]:
    os.sched_setaffinity(0, setup["cores"])
sys.path[:] = setup["path"]
from advjax.smoothing.counting import worker
worker.serve(setup)
"""

_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_disable_most_optimizations",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_threefry_partitionable",
)
"""Settings of JAX that decide votes or speed; each process takes the parent's."""


class State(NamedTuple):
    """Choices of a process that decide votes or speed.

    Attributes:
        settings: of JAX.
        leaves_xla_alone: True after `compilation.leave_xla_alone`.
        chosen: kinds of device and CPU to compile for.
    """

    settings: Mapping[str, Any]
    leaves_xla_alone: bool
    chosen: targets.Choice


class CannotBeSent(ValueError):
    """A classifier or noise cannot be sent to another process."""


class WorkerEnded(OSError):
    """A process that counts votes ended before its work."""


class SentKey(NamedTuple):
    """A key as plain data.

    Attributes:
        data: its words.
        kind: its generator; None for a key of plain integers.
    """

    data: np.ndarray
    kind: Any

    def key(self) -> Any:
        """The key itself."""
        if self.kind is None:
            return self.data
        return jax.random.wrap_key_data(self.data, impl=self.kind)


class VotesJob(NamedTuple):
    """Copies of one example to count.

    Attributes:
        x: the example.
        key: the key of the count.
        tile: copies in a tile.
        bounds: first tile, end tile, first copy and end copy.
    """

    x: Features
    key: SentKey
    tile: int
    bounds: Int[np.ndarray, "4"]


class SlotsJob(NamedTuple):
    """Tiles of several examples to count.

    Attributes:
        slots: the examples and their keys; None for those of the job before.
        tiles: as the fields of `SlotTile`.
        tile: copies in a tile.
        tiles_at_once: tiles that a process evaluates side by side.
        chunk: the most rows of such tiles for a process.
    """

    slots: tuple[Features, SentKey] | None
    tiles: Int[np.ndarray, "tiles fields"]
    tile: int
    tiles_at_once: int
    chunk: int


class Counts:
    """Votes that processes still count; NumPy reads them, and waits."""

    def __init__(self, workers: "Workers"):
        """Expect the answer of each process."""
        self._workers = workers
        self.parts: dict[int, Any] = {}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The sum over the processes, once all have answered."""
        return np.asarray(sum(self._workers.answers_of(self)), dtype)


class Workers:
    """Processes that count votes of one classifier under one noise; a context.

    with Workers(logits_fn, noise=noise, num_workers=8) as workers:
        certify(logits_fn, x, key, noise=noise, placement=Placement(workers=workers))

    They start in about five seconds, and end when the context or this process does. A
    count need not wait for their start: this process counts until they are ready. Not
    for Windows.

    Attributes:
        usage: resources that each process had used at its last answer.
    """

    def __init__(
        self,
        logits_fn: AnyCallable,
        *,
        noise: AnyNoise,
        num_workers: int,
        wait: bool = True,
    ):
        """Start the processes, and send both to them; this process needs a CPU as well.

        Args:
            logits_fn: one example to one row of logits, see `certify`.
            noise: the noise distribution.
            num_workers: processes; each gets its share of the cores of this one.
            wait: until all are ready. Otherwise this process counts in the meantime,
                and all votes if the others cannot import what they are sent.

        Raises:
            CannotBeSent: a part of `logits_fn` or `noise` cannot be pickled (a closure,
                a lambda), or imported elsewhere (a function of a notebook).
            WorkerEnded: a process ended.
        """
        if num_workers < 1:
            raise ValueError(f"num_workers={num_workers}: give at least 1.")
        contents = pickle.dumps(_state()), as_pickle(logits_fn, noise)
        self._counts_for = logits_fn, noise.sample
        self._slots: Any = None
        self._ticket = 0
        self._open: weakref.WeakValueDictionary[int, Counts] = (
            weakref.WeakValueDictionary()
        )
        self._processes: list[subprocess.Popen] = []
        self._connections: list[connection.Connection] = []
        self.usage = [Usage()] * num_workers
        self._starting = list(range(num_workers))
        # In a thread: a process reads when it has imported what it needs.
        self._sender = threading.Thread(
            target=self._send_first, args=(contents,), daemon=True
        )
        try:
            for index in range(num_workers):
                self._start(index, num_workers)
            self._sender.start()
            while wait and self._starting:
                self._hear_start()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Number of processes."""
        return len(self.usage)

    def __repr__(self) -> str:
        """The number of processes."""
        return f"Workers({len(self)} processes)"

    def __enter__(self) -> "Workers":
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes."""
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        # It fails now, and must not write into what gets the number of a connection.
        if self._sender.ident is not None:
            self._sender.join()
        for each in self._connections:
            each.close()

    def are_ready(self) -> bool:
        """Tell, without waiting, whether all processes have started and can count.

        Raises:
            WorkerEnded: a process ended.
        """
        with contextlib.suppress(CannotBeSent):
            while self._starting and self._has_answered(self._starting[0]):
                self._hear_start()
        return not self._starting

    def count_votes(
        self,
        logits_fn: AnyCallable,
        x: Features,
        key: Key | Any,
        bounds: Int[np.ndarray, "4"],
        *,
        noise: AnyNoise,
        tile: int,
    ) -> Counts:
        """Votes as a `votes.count_program` counts them."""
        self._check(logits_fn, noise)
        return self._ask(VotesJob(x, _sent(key), tile, bounds))

    def count_slots(
        self,
        logits_fn: AnyCallable,
        slots: tuple[Features, AnyArray],
        tiles: Sequence[Sequence[int]],
        *,
        noise: AnyNoise,
        tile: int,
        tiles_at_once: int,
        chunk: int,
    ) -> Counts:
        """Votes of each slot, as a `slots.slot_counter` counts them."""
        self._check(logits_fn, noise)
        x, keys = slots
        content = None if slots is self._slots else (x, _sent(keys))
        self._slots = slots
        listed = np.asarray(tiles, np.int32)
        return self._ask(SlotsJob(content, listed, tile, tiles_at_once, chunk))

    def answers_of(self, counts: Counts) -> list[Any]:
        """The counts of each process; waits for them.

        Raises:
            WorkerEnded: a process ended.
            MemoryError: a tile does not fit.
        """
        for index in range(len(self)):
            while index not in counts.parts:
                ticket, answer, self.usage[index] = self._receive(index)
                # An answer that nobody reads any more is dropped.
                if (found := self._open.get(ticket)) is not None:
                    found.parts[index] = answer
        for part in counts.parts.values():
            if isinstance(part, Exception):
                raise part
        return list(counts.parts.values())

    def _check(self, logits_fn: AnyCallable, noise: AnyNoise) -> None:
        check_noise(noise)
        if self._counts_for[0] is logits_fn and self._counts_for[1] is noise.sample:
            return
        raise ValueError(
            "placement.workers count for another logits_fn or noise: give them those "
            "that they were started with, or start others."
        )

    def _ask(self, job: VotesJob | SlotsJob) -> Counts:
        counts, self._ticket = Counts(self), self._ticket + 1
        self._open[self._ticket] = counts
        self._send(pickle.dumps((self._ticket, job), pickle.HIGHEST_PROTOCOL))
        return counts

    def _start(self, index: int, count: int) -> None:
        ours, theirs = connection.Pipe()
        self._connections.append(ours)
        setup = {
            "cores": _cores(index, count),
            "path": [path for path in sys.path if isinstance(path, str)],
            "share": [index, count],
            "connection": theirs.fileno(),
        }
        with theirs:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM, json.dumps(setup)],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # what compiled code prints is no result of a program
                    env=os.environ | {"JAX_PLATFORMS": "cpu"},
                    pass_fds=[theirs.fileno()],
                    process_group=0,
                )
            )

    def _send_first(self, contents: Sequence[bytes]) -> None:
        # An end is noticed where the answer is read.
        with contextlib.suppress(OSError):
            for each in self._connections:
                for content in contents:
                    each.send_bytes(content)

    def _has_answered(self, index: int) -> bool:
        found = self._connections[index]
        return not found.closed and found.poll()

    def _hear_start(self) -> None:
        if refusal := self._receive(self._starting[0]):
            self.close()
            raise CannotBeSent(_refusal(refusal))
        del self._starting[0]

    def _send(self, content: bytes) -> None:
        for index, each in enumerate(self._connections):
            try:
                each.send_bytes(content)
            except (BrokenPipeError, ConnectionResetError) as error:
                raise self._ended(index) from error

    def _receive(self, index: int) -> Any:
        try:
            return self._connections[index].recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._ended(index) from error

    def _ended(self, index: int) -> WorkerEnded:
        code = 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._processes[index].wait(_PATIENCE_S)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        if code == -signal.SIGKILL:
            how += ", as a system does that is short of memory"
        return WorkerEnded(
            f"one of {len(self)} processes that count votes {how}: the same command "
            "continues."
        )


def as_pickle(logits_fn: AnyCallable, noise: AnyNoise) -> bytes:
    """A classifier and a noise distribution, for another process.

    Raises:
        CannotBeSent: a part cannot be pickled.
        ValueError: no noise distribution.
    """
    check_noise(noise)
    # The radius and the call stay here.
    parts = logits_fn, noise._replace(radius=None, call="")
    try:
        return pickle.dumps(parts, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001  a user's object fails in its own way
        raise CannotBeSent(_refusal(str(error))) from error


def _state() -> State:
    return State(
        # Another version of JAX may lack one.
        {name: v for name, v in jax.config.values.items() if name in _SETTINGS},
        compilation.leaves_xla_alone(),
        targets.chosen(),
    )


def _refusal(reason: str) -> str:
    return (
        f"other processes cannot be sent this logits_fn and noise ({reason}): give "
        "functions of modules that they can import, or count in this process."
    )


def _sent(key: Any) -> SentKey:
    if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        return SentKey(np.asarray(jax.random.key_data(key)), jax.random.key_impl(key))
    return SentKey(np.asarray(key), None)


def _cores(index: int, count: int) -> list[int]:
    """An equal share of this process's cores; empty where a process has no say."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    if affinity is None:
        return []
    cores = sorted(affinity(0))
    size = len(cores) // count
    return cores[index * size : (index + 1) * size] or [cores[index % len(cores)]]
