"""A process that counts its share of votes for another one, see `workers`."""

import contextlib
import functools
import os
import pickle
import queue
import threading
from collections.abc import Mapping
from multiprocessing import connection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from advjax.runtime import compilation, targets
from advjax.runtime.usage import usage
from advjax.smoothing.counting.placement import Placement
from advjax.smoothing.counting.slots import Slots, slot_counter
from advjax.smoothing.counting.votes import count_votes
from advjax.smoothing.counting.workers import SlotsJob, VotesJob
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyCallable


class Share:
    """The share of one process in the work of several.

    Attributes:
        logits_fn: the classifier.
        noise: the noise distribution.
        index: number of this process.
        count: number of processes.
    """

    def __init__(self, logits_fn: AnyCallable, noise: AnyNoise, index: int, count: int):
        """Take the work over; the programs are compiled when they are needed."""
        # On the device, once for all jobs.
        self.logits_fn = jax.tree.map(
            lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf,
            logits_fn,
        )
        self.noise = noise
        self.index, self.count = index, count
        self._slots: Slots | None = None
        self._slot_counter = functools.cache(
            functools.partial(slot_counter, self.logits_fn, noise=noise)
        )

    def votes(self, job: VotesJob) -> Any:
        """Votes in this process's tiles, which follow each other; 0 if it has none."""
        begin, end, first, last = job.bounds.tolist()
        start, stop = (
            begin + (end - begin) * number // self.count
            for number in (self.index, self.index + 1)
        )
        if start == stop:
            return 0
        first = max(first, start * job.tile)
        return count_votes(
            self.logits_fn, job.x, job.key.key(), noise=self.noise, first=first,
            num_samples=min(last, stop * job.tile) - first,
            placement=Placement(job.tile, chunk=stop - start),
        )  # fmt: skip

    def slots(self, job: SlotsJob) -> Any:
        """Votes of each slot in every `count`-th row of tiles; 0 if there are none."""
        if job.slots is not None:
            x, keys = job.slots
            self._slots = Slots(x, keys.key())
        size = job.tiles_at_once
        rows = [job.tiles[at : at + size] for at in range(0, len(job.tiles), size)]
        own = rows[self.index :: self.count]
        if not own:
            return 0
        count = self._slot_counter(tile=job.tile, tiles_at_once=size, chunk=job.chunk)
        return np.asarray(count(self._slots, np.concatenate(own)))


def serve(setup: Mapping[str, Any]) -> None:
    """Answer the process that started this one, until it closes the connection."""
    parent = connection.Connection(setup["connection"])
    with contextlib.suppress(EOFError, OSError):
        state = parent.recv()
        for name, value in state.settings.items():
            jax.config.update(name, value)
        if state.leaves_xla_alone:
            compilation.leave_xla_alone()
        content = parent.recv_bytes()
        with targets.choosing(state.chosen):
            try:
                share = Share(*pickle.loads(content), *setup["share"])
            except Exception as error:  # noqa: BLE001  whatever a module raises
                parent.send(f"{type(error).__name__}: {error}")
                return
            parent.send(None)
            _answer(parent, share)


def _answer(parent: connection.Connection, share: Share) -> None:
    arrived: queue.Queue[bytes] = queue.Queue()
    # In a thread, so that the parent never waits for a calculation to send the next
    # job, and its end ends one.
    threading.Thread(target=_listen, args=(parent, arrived), daemon=True).start()
    while True:
        ticket, job = pickle.loads(arrived.get())
        try:
            done = share.votes(job) if isinstance(job, VotesJob) else share.slots(job)
        except Exception as error:  # noqa: BLE001  the parent raises it
            done = error
        parent.send((ticket, done, usage()))


def _listen(parent: connection.Connection, arrived: queue.Queue[bytes]) -> None:
    try:
        while True:
            arrived.put(parent.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)
