"""Training checkpoints, for resuming after a kill.

The first process alone reads and writes the folder, and sends what it read to the
others. They need no access to its disk, and a network disk that shows processes
different states does no harm.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
from types import TracebackType
from typing import Any

import jax
import numpy as np
from flax import struct
from jax.experimental import multihost_utils

from advjax.runtime import parallel
from advjax.runtime.damage import Damaged
from advjax.runtime.full_disk import tell_full_disk
from advjax.runtime.json_files import Fields, Integer, Items, Number, Table, Text, check
from advjax.runtime.locks import reserve
from advjax.runtime.paths import user_path
from advjax.runtime.plain_paths import plain_path
from advjax.runtime.text import printable
from advjax.runtime.threads import silence_threads
from advjax.types import PyTree


@struct.dataclass
class TrainState:
    """State that one training step passes to the next."""

    step: PyTree
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    rate_scale: PyTree


@dataclasses.dataclass
class Log:
    """Record of the validations so far; saved in the checkpoint as JSON.

    `kept` has the validations whose weights are averaged, in the order of these.
    """

    settings: str = ""
    best: float = -1.0
    best_loss: float = float("inf")
    best_step: int = 0
    gainless: int = 0
    since_cut: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    kept: list[dict[str, float]] = dataclasses.field(default_factory=list)


_LOG = Fields(
    {
        "settings": Text(empty=True),
        "best": Number(-1, 1),
        "best_loss": Number(),
        "best_step": Integer(0),
        "gainless": Integer(0),
        "since_cut": Integer(0),
        "history": Items(Table(Number())),
    },
    {
        "digests": Fields({"last": Text(), "best": Text()}),
        "kept": Items(Table(Number())),
    },
)
"""The log on disk; earlier versions wrote no digests of the arrays, and kept no more
than the best weights."""


class Checkpoints:
    """Checkpoints of one training: last state, best weights and log.

    All three are in one Orbax checkpoint, which is written whole or not at all, so a
    kill cannot separate them. A context manager that holds the folder's lock.

    Args:
        workdir: the folder, made if missing; None keeps no checkpoints. Only the first
            process uses it.

    Raises:
        BlockingIOError: another process trains in this folder.
    """

    def __init__(self, workdir: str | os.PathLike[str] | None):
        """Open the folder, in the first process."""
        self._manager = None
        self._held = contextlib.ExitStack()
        if workdir is None or jax.process_index() > 0:
            return
        import orbax.checkpoint as ocp

        self._workdir, self._args = user_path(workdir), ocp.args
        self._held.enter_context(reserve(self._workdir, wait=False))
        try:
            self._workdir.mkdir(parents=True, exist_ok=True)
            self._plain = self._held.enter_context(plain_path(self._workdir))
            self._open()
        except BaseException:
            self._held.close()
            raise

    def _open(self) -> None:
        import orbax.checkpoint as ocp

        # For this process alone; otherwise Orbax waits for processes that never call.
        alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
        self._manager = ocp.CheckpointManager(
            self._plain,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1, create=False, multiprocessing_options=alone
            ),
            item_names=("last", "best", "log"),
        )

    def __enter__(self) -> "Checkpoints":
        """The checkpoints."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the folder and let go of its lock."""
        with self._held:
            if self._manager is not None:
                self._manager.close()

    def save(self, state: TrainState, best: PyTree, log: Log) -> None:
        """Write a checkpoint; in the first process it is on disk on return.

        Raises:
            OSError: the disk is full; the previous checkpoint is kept.
        """
        if self._manager is None:
            return
        args, last = self._args, jax.device_get(state)
        digests = {"last": _digest(last), "best": _digest(best)}
        saved = dataclasses.asdict(log) | {"digests": digests}
        try:
            with tell_full_disk(self._workdir), silence_threads():
                self._manager.save(
                    int(state.step),
                    args=args.Composite(
                        last=args.StandardSave(last),
                        best=args.StandardSave(best),
                        log=args.JsonSave(saved),
                    ),
                )
                self._manager.wait_until_finished()
        except OSError:
            for path in self._workdir.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)
            raise

    def latest(
        self, state: TrainState, best: PyTree, log: Log
    ) -> tuple[TrainState, PyTree, Log]:
        """The last checkpoint, in every process; the arguments if there is none.

        A damaged checkpoint is reported and removed, and training starts again.

        Args:
            state: of a new training, with the same shapes.
            best: of a new training.
            log: of a new training; its settings must be those of the checkpoint.

        Raises:
            ValueError: the checkpoint has other settings; raised in every process.
        """
        error = ""
        if self._manager is not None and self._manager.latest_step() is not None:
            try:
                state, best, log = self._restore(state, best, log.settings)
            except Damaged as damage:
                self._start_anew(str(damage))
            except (ValueError, OSError) as refusal:
                error = str(refusal)
        # Communication below times out after half a minute on CPUs, and a process may
        # still be compiling or reading a large checkpoint.
        parallel.all_do(f"read the checkpoint: {log.settings}", lambda: None)
        sent = _from_first_process({"error": error, "log": dataclasses.asdict(log)})
        if sent["error"]:
            raise ValueError(sent["error"])
        state, best = multihost_utils.broadcast_one_to_all(
            jax.device_get((state, best))
        )
        return state, best, Log(**sent["log"])

    def _restore(self, state, best, settings: str) -> tuple[TrainState, PyTree, Log]:
        args, step = self._args, self._manager.latest_step()
        # The log first, because with other settings the arrays may have other shapes.
        log = self._read(step, log=args.JsonRestore())["log"]
        check(log, _LOG, name=self._workdir / str(step) / "log")
        digests = log.pop("digests", None)
        if log["settings"] != settings:
            shown = printable(str(self._workdir))
            raise ValueError(
                f"{shown} holds a training with other settings: choose another folder, "
                f"or delete it.\n  there: {log['settings']}\n  asked: {settings}"
            )
        asked = {"last": jax.device_get(state), "best": best}
        found = self._read(
            step, **{name: args.StandardRestore(tree) for name, tree in asked.items()}
        )
        for name, tree in asked.items():
            if _forms(found[name]) != _forms(tree):
                raise Damaged(f"its {name} weights have other shapes")
            if digests is not None and _digest(found[name]) != digests[name]:
                raise Damaged(f"its {name} weights differ from their digest")
        if int(found["last"].step) != step:
            raise Damaged(f"it is of step {int(found['last'].step)}, and not {step}")
        return found["last"], found["best"], Log(**log)

    def _read(self, step: int, **items: Any) -> Any:
        """Read some items of a checkpoint.

        Raises:
            Damaged: the items cannot be read.
            PermissionError: a file is not readable.
        """
        for path in self._workdir.rglob("*"):
            if not os.access(path, os.R_OK):
                raise PermissionError(f"{printable(str(path))}: permission denied")
        try:
            with silence_threads():
                return self._manager.restore(step, args=self._args.Composite(**items))
        except MemoryError:
            raise
        except Exception as error:  # Orbax and TensorStore raise many kinds
            said = (str(error) or type(error).__name__).split("\n")[0]
            raise Damaged(f"it cannot be read: {printable(said)[:200]}") from error

    def _start_anew(self, reason: str) -> None:
        """Report the damage and remove the checkpoints."""
        print(
            f"the training checkpoint in {printable(str(self._workdir))} is damaged "
            f"({reason}): the training starts anew",
            file=sys.stderr,
            flush=True,
        )
        self._manager.close()
        for path in self._workdir.iterdir():
            if path.name.split(".")[0].isdecimal():
                shutil.rmtree(path)
        self._open()


def _digest(tree: PyTree) -> str:
    """The SHA-256 of all arrays of a tree on the host."""
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf, order="C")
        sha.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def _forms(tree: PyTree) -> list[tuple[str, tuple[int, ...], str]]:
    """The path, shape and dtype of every array of a tree."""
    return [
        (jax.tree_util.keystr(path), np.shape(leaf), np.asarray(leaf).dtype.name)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _from_first_process(message: dict[str, Any]) -> dict[str, Any]:
    """The first process's message, in every process."""
    text = np.frombuffer(json.dumps(message).encode(), np.uint8)
    # The broadcast needs arrays of the same shape in all processes.
    length = int(multihost_utils.broadcast_one_to_all(np.int32(text.size)))
    text = np.resize(text, length)
    return json.loads(bytes(multihost_utils.broadcast_one_to_all(text)))
