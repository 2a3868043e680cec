"""Devices and processes: who shares the work, and what they tell each other.

The mesh has one axis, `data`, over the devices that share an example's votes or a
batch.

Several processes (one a host, as a rule) start together: `start_processes`, before JAX
looks for devices. What all of them need is made once (`first_does`), and when all are
ready (`all_do`), they part (`part_ways`): from there on each works on its share of the
examples, with its own devices and without a collective. So no process waits for another
and the end of one, however sudden, is not the end of the others.

JAX by itself ends every process when one is lost. Its `jax_enable_recoverability` was
tried on 0.10.2: the loss of another process is survived, that of the first one is not,
since it serves the rest. After `part_ways` nobody serves and nobody listens.
"""

import atexit
import contextlib
import os
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from advjax.runtime import interrupts, streams

AXIS = "data"
_T = TypeVar("_T")

# Long enough to cost nothing, short enough that Ctrl-C is heard.
_LISTEN_MS = 2_000
_ENDED = "advjax/ended"


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh over `devices` (default: all of them), axis `data`.

    The axis is Auto: newer JAX makes axes Explicit by default, under which the gradient
    of an integer-label loss is refused.
    """
    devices = jax.devices() if devices is None else list(devices)
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def num_cores() -> int:
    """Cores that this process may use, which `taskset` and containers limit."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def device_per_core() -> None:
    """Make the CPU one device for each core, unless a number is configured.

    To be called before anything asks JAX for a device. Inside a compiled loop XLA
    spreads products and convolutions over the cores, but no other operation: two
    devices measured up to half as many votes again as one on two cores. Eight at most:
    on more cores it was not tried.
    """
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if told or jax.config.jax_num_cpu_devices > 0:
        return
    jax.config.update("jax_num_cpu_devices", min(num_cores(), 8))


def local_mesh() -> Mesh | None:
    """The mesh over this process's own devices; None if it has one only."""
    devices = jax.local_devices()
    return data_mesh(devices) if len(devices) > 1 else None


def split_batch(mesh: Mesh) -> NamedSharding:
    """The sharding that splits the leading axis of an array over the mesh."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicate(mesh: Mesh) -> NamedSharding:
    """The sharding that keeps a whole copy on every device of the mesh."""
    return NamedSharding(mesh, PartitionSpec())


class Process(NamedTuple):
    """This process among those that started together."""

    index: int = 0
    count: int = 1

    def share(self, items: Sequence[_T]) -> list[_T]:
        """Its part of `items`: number i is for process i modulo the count."""
        return list(items[self.index :: self.count])

    def name(self, text: str) -> str:
        """`text`, and where there are several processes, which one this is."""
        if self.count == 1:
            return text
        return f"{text}, process {self.index} of {self.count}"


def process() -> Process:
    """This process among those that started together."""
    return Process(jax.process_index(), jax.process_count())


class OtherProcessEnded(OSError):
    """Another process ended before this one could go on."""


def start_processes(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    cluster: bool = False,
) -> None:
    """Join this process with the others; without arguments it stays alone.

    To be called before anything asks JAX for a device. What compiled code prints (Gloo
    tells who is connected) then goes to the standard error, so that the standard output
    holds results only.

    Args:
        coordinator: HOST:PORT of process 0, where the others find it.
        num_processes: how many there are.
        process_id: which one this is, from 0.
        cluster: instead of the three: ask the cluster's environment (Slurm, Cloud TPU,
            Open MPI, Kubernetes), as `jax.distributed.initialize()` knows it.

    Raises:
        ValueError: a combination that says nothing; what to give is told.
        OSError: the other processes cannot be reached.
    """
    _check_given(coordinator, num_processes, process_id, cluster)
    if num_processes == 1 or not (cluster or coordinator):
        return
    _keep_stdout_for_results()
    options = {} if cluster else {
        "coordinator_address": coordinator,
        "num_processes": num_processes,
        "process_id": process_id,
        # What is given counts, also inside a cluster's job.
        "cluster_detection_method": "deactivate",
    }  # fmt: skip
    try:
        jax.distributed.initialize(**options)
    except ValueError as error:
        raise ValueError(
            f"--cluster: the environment names no cluster that JAX knows ({error}): "
            "give --coordinator=HOST:PORT, --num_processes=N and --process_id=I"
        ) from error
    except RuntimeError as error:
        raise OSError(
            f"the processes could not be joined: {str(error).splitlines()[0]}. Is "
            "process 0 started, and its port free and open to the others?"
        ) from error
    # They tell each other their devices now: later no question waits for an answer.
    jax.devices()


def _check_given(coordinator, num_processes, process_id, cluster: bool) -> None:
    given = {
        "--coordinator": coordinator,
        "--num_processes": num_processes,
        "--process_id": process_id,
    }
    there = [name for name, value in given.items() if value is not None]
    if cluster and there:
        raise ValueError(f"--cluster finds out by itself: leave out {', '.join(there)}")
    if not there:
        return
    if len(there) < len(given):
        missing = [name for name in given if name not in there]
        raise ValueError(
            f"{' and '.join(missing)} missing: several processes need --coordinator="
            "HOST:PORT, --num_processes=N and --process_id=I, or --cluster"
        )
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise ValueError(
            f"--process_id={process_id}: with --num_processes={num_processes} it is a "
            "number from 0 to one less"
        )
    try:
        port = urllib.parse.urlsplit(f"//{coordinator}").port
    except ValueError:
        port = None
    if not port:
        raise ValueError(
            f"--coordinator={coordinator}: give host and port of process 0, such as "
            "10.0.0.1:8476"
        )


def _keep_stdout_for_results() -> None:
    """Sends file descriptor 1 to the standard error, and `print` where it went."""
    sys.stdout.flush()
    results = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = streams.tolerant(results, sys.stdout.encoding, by_lines=True)


def first_does(what: str, action: Callable[[], _T]) -> _T:
    """Run `action` in the first process, then in the others, and return its result.

    For what is made once and then found by all, in folders that all of them see.

    Args:
        what: a name for it, the same in every process, and for nothing else.
        action: makes it, or finds it made.

    Raises:
        OtherProcessEnded: the first process failed; its message is told.
    """
    here = process()
    if here.index > 0:
        _hear(what, 0)
        return action()
    result = action()
    _tell(what, here)
    return result


def first_says(what: str, question: Callable[[], bool]) -> bool:
    """The first process's answer, in every process: one may see a file before another.

    Args:
        what: a name for it, the same in every process, and for nothing else.
        question: asked in the first process alone.

    Raises:
        OtherProcessEnded: the first process failed; its message is told.
    """
    here = process()
    if here.index > 0:
        return _hear(what, 0) == str(True)
    answer = question()
    _tell(what, here, str(answer))
    return answer


def all_do(what: str, action: Callable[[], _T]) -> _T:
    """Run `action` in all processes; return its result once all have finished.

    Args:
        what: a name for it, the same in every process, and for nothing else.
        action: done by all processes at the same time.

    Raises:
        OtherProcessEnded: it failed in another process; its message is told.
    """
    here = process()
    result = action()
    _tell(what, here)
    for other in range(here.count):
        if other != here.index:
            _hear(what, other)
    return result


def part_ways() -> None:
    """End the communication between processes; each goes on alone.

    All processes have to come here, so `all_do` something first. Collectives over
    devices of several processes are over, those over `local_mesh` go on.
    """
    mesh = local_mesh()
    if _store().client is not None and mesh is not None:
        # Gloo and NCCL introduce the devices of a process to each other, too, by way of
        # the first process, and once only: before it is gone.
        ones = jax.device_put(np.ones(mesh.size, np.float32), split_batch(mesh))
        jax.jit(jnp.sum, out_shardings=replicate(mesh))(ones).block_until_ready()
    jax.distributed.shutdown()


@contextlib.contextmanager
def telling_failures() -> Iterator[None]:
    """The block in which a process that fails ends the others, with its message.

    And ends itself without meeting them first, for which JAX would wait minutes. So
    does one that a signal ends while its main thread hears nothing.
    """
    interrupts.last_words(lambda: _tell_end("interrupted") and _let_hear())
    try:
        yield
    except BaseException as error:
        if _tell_end(str(error) or type(error).__name__):
            atexit.register(_leave)
        raise
    finally:
        interrupts.last_words(None)


def _tell_end(text: str) -> bool:
    """Tell the other processes, if there are any, why this one ends."""
    if (client := _store().client) is None:
        return False
    index = process().index
    with contextlib.suppress(Exception):
        client.key_value_set(f"{_ENDED}/{index}", f"process {index} ended: {text}")
    return True


def _leave() -> None:
    """Ends this process at once; what it was to print is printed."""
    _let_hear()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(interrupts.exit_code() or 1)


def _let_hear() -> None:
    """Wait until the others have heard this process's last message."""
    if process().index == 0:  # which serves the messages
        time.sleep(2 * _LISTEN_MS / 1000)


def _store():
    """JAX's state of the processes, whose `client` is None when alone or parted."""
    # JAX has no public way to a message that waits for no other process; Orbax takes
    # this one, too.
    from jax._src import distributed

    return distributed.global_state


def _tell(what: str, here: Process, text: str = "done") -> None:
    client = _store().client
    if here.count > 1 and client is not None:
        client.key_value_set(f"advjax/{what}/{here.index}", text, True)


def _hear(what: str, index: int) -> str:
    """Wait for the message of process `index` about `what`, however long it takes.

    The store is asked again and again: a collective would time out, as training takes
    hours. A process that is killed ends the others through JAX's own heartbeat.
    """
    client = _store().client
    if client is None:
        raise RuntimeError(f"the processes have parted: {what!r} cannot be waited for")
    while True:
        ended = client.key_value_dir_get(_ENDED)
        if ended:
            raise OtherProcessEnded(ended[0][1])
        try:
            return client.blocking_key_value_get(f"advjax/{what}/{index}", _LISTEN_MS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise OtherProcessEnded(
                    f"process {index} cannot be reached any more: {error}"
                ) from error
