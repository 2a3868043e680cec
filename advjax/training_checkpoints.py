"""What a training needs to go on after a kill, and the folder that keeps it.

One process reads and writes the folder, the first, and tells the others what it read:
they need not see its disk, nor agree with it on what a network disk shows at a moment.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
from flax import struct
from jax.experimental import multihost_utils

from advjax import parallel
from advjax.types import PyTree


@struct.dataclass
class TrainState:
    """All that a step needs from the one before."""

    step: PyTree
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    rate_scale: PyTree


@dataclasses.dataclass
class Log:
    """What validation has seen so far; travels in the checkpoint as JSON."""

    settings: str = ""
    best: float = -1.0
    best_loss: float = float("inf")
    best_step: int = 0
    gainless: int = 0
    since_cut: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


class Checkpoints:
    """Checkpoints of one training: last state, best weights and log, at once.

    The three travel in one Orbax checkpoint, which appears whole or not at all: a kill
    cannot leave a best that belongs to another last.

    Args:
        workdir: their folder, made if missing; None keeps none. It is the first
            process's: what the others are given is not looked at.
    """

    def __init__(self, workdir: str | pathlib.Path | None):
        """Opens the folder, in the first process."""
        self._manager = None
        if workdir is None or jax.process_index() > 0:
            return
        import orbax.checkpoint as ocp

        self._workdir, self._args = pathlib.Path(workdir).absolute(), ocp.args
        self._workdir.mkdir(parents=True, exist_ok=True)
        # Alone: Orbax would wait for processes that never call it.
        alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
        self._manager = ocp.CheckpointManager(
            self._workdir,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1, create=False, multiprocessing_options=alone
            ),
            item_names=("last", "best", "log"),
        )

    def save(self, state: TrainState, best: PyTree, log: Log) -> None:
        """Nothing; the checkpoint is on disk when this returns in the first process."""
        if self._manager is None:
            return
        args = self._args
        self._manager.save(
            int(state.step),
            args=args.Composite(
                last=args.StandardSave(jax.device_get(state)),
                best=args.StandardSave(best),
                log=args.JsonSave(dataclasses.asdict(log)),
            ),
        )
        self._manager.wait_until_finished()

    def latest(
        self, state: TrainState, best: PyTree, log: Log
    ) -> tuple[TrainState, PyTree, Log]:
        """The last checkpoint, in every process; what was given where there is none.

        Args:
            state: of a training that starts anew, of equal shapes.
            best: likewise.
            log: likewise; its settings must be those of the checkpoint.

        Raises:
            ValueError: a checkpoint of other settings or that cannot be read, in every
                process.
        """
        error = ""
        if self._manager is not None and self._manager.latest_step() is not None:
            try:
                state, best, log = self._restored(state, best, log.settings)
            except ValueError as refusal:
                error = str(refusal)
        # What the processes send each other below waits half a minute on CPUs, and one
        # may still have been compiling, or reading a large checkpoint.
        parallel.all_do(f"read the checkpoint: {log.settings}", lambda: None)
        said = _said_by_first({"error": error, "log": dataclasses.asdict(log)})
        if said["error"]:
            raise ValueError(said["error"])
        state, best = multihost_utils.broadcast_one_to_all(
            jax.device_get((state, best))
        )
        return state, best, Log(**said["log"])

    def _restored(self, state, best, settings: str) -> tuple[TrainState, PyTree, Log]:
        args = self._args
        try:
            found = self._manager.restore(
                self._manager.latest_step(),
                args=args.Composite(
                    last=args.StandardRestore(jax.device_get(state)),
                    best=args.StandardRestore(best),
                    log=args.JsonRestore(),
                ),
            )
        except Exception as error:  # noqa: BLE001  Orbax and TensorStore raise many kinds
            raise ValueError(
                f"the training checkpoint in {self._workdir} cannot be read "
                f"({str(error)[:200]}): delete that folder to train from the start"
            ) from error
        log = Log(**found["log"])
        if log.settings != settings:
            raise ValueError(
                f"{self._workdir} holds a training with other settings: choose another "
                f"folder, or delete it.\n  there: {log.settings}\n  asked: {settings}"
            )
        return found["last"], found["best"], log


def _said_by_first(message: dict[str, Any]) -> dict[str, Any]:
    """The first process's message, in every process."""
    text = np.frombuffer(json.dumps(message).encode(), np.uint8)
    # All processes must bring arrays of one shape.
    length = int(multihost_utils.broadcast_one_to_all(np.int32(text.size)))
    text = np.resize(text, length)
    return json.loads(bytes(multihost_utils.broadcast_one_to_all(text)))
