"""Devices and processes that share work, and the messages between processes.

The mesh has one axis, `data`, over the devices that share an example's votes or a
batch.

Several processes (usually one a host) start together with `start_processes`, before JAX
looks for devices. The first process makes shared files for all (`first_does`). When all
are ready (`all_do`), they separate (`detach`). From then on each process works on its
share of the examples, with its own devices and without collectives. No process waits
for another, and the sudden end of one does not end the others.

JAX by itself ends every process when one is lost. Its `jax_enable_recoverability` was
tried on 0.10.2: processes survive the loss of another one but not of the first, which
serves the rest. After `detach` no process serves or listens.
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

from advjax.runtime import interrupts, meeting, streams

AXIS = "data"
_T = TypeVar("_T")

# Long enough to cost little, short enough that Ctrl-C is handled.
_LISTEN_MS = 2_000
_ENDED = "advjax/ended"


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """One-dimensional mesh over `devices` (default: all of them), axis `data`.

    The axis is Auto: newer JAX makes axes Explicit by default, which refuses the
    gradient of an integer-label loss.
    """
    devices = jax.devices() if devices is None else list(devices)
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def num_cores() -> int:
    """Number of cores that this process may use, within `taskset` and containers."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def device_per_core() -> None:
    """Make the CPU one device for each core, unless a number is configured.

    Call this before anything asks JAX for a device. Inside a compiled loop XLA spreads
    products and convolutions over the cores, but no other operation. Two devices
    measured up to half as many votes again as one on two cores. There are at most eight
    devices; more were not tried.
    """
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if told or jax.config.jax_num_cpu_devices > 0:
        return
    jax.config.update("jax_num_cpu_devices", min(num_cores(), 8))


def local_mesh() -> Mesh | None:
    """Mesh over this process's own devices; None if it has only one."""
    devices = jax.local_devices()
    return data_mesh(devices) if len(devices) > 1 else None


def split_batch(mesh: Mesh) -> NamedSharding:
    """Sharding that splits the leading axis of an array over the mesh."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicate(mesh: Mesh) -> NamedSharding:
    """Sharding that keeps a whole copy on every device of the mesh."""
    return NamedSharding(mesh, PartitionSpec())


class Process(NamedTuple):
    """Index of this process, and number of processes that started together."""

    index: int = 0
    count: int = 1

    def share(self, items: Sequence[_T]) -> list[_T]:
        """Items of this process: item i belongs to process i modulo the count."""
        return list(items[self.index :: self.count])

    def name(self, text: str) -> str:
        """`text`, with the index of this process if there are several."""
        if self.count == 1:
            return text
        return f"{text}, process {self.index} of {self.count}"


def process() -> Process:
    """Index of this process, and number of processes that started together."""
    return Process(jax.process_index(), jax.process_count())


class OtherProcessEnded(OSError):
    """Another process ended before this one could continue."""


def start_processes(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    cluster: bool = False,
) -> None:
    """Join this process with the others; without arguments it stays alone.

    Call this before anything asks JAX for a device. The processes meet first
    (`meeting`), which says whom they wait for. Afterwards compiled code prints to
    standard error, so that standard output holds results only; Gloo's reports of
    connections are dropped.

    Args:
        coordinator: HOST:PORT of process 0.
        num_processes: number of processes.
        process_id: index of this process, from 0.
        cluster: take the three from the cluster's environment (Slurm, Cloud TPU, Open
            MPI, Kubernetes), as `jax.distributed.initialize()` does.

    Raises:
        ValueError: arguments are missing or contradict each other.
        OSError: the other processes cannot be reached; see `meeting.meet`.
    """
    _check_given(coordinator, num_processes, process_id, cluster)
    if num_processes == 1 or not (cluster or coordinator):
        return
    if cluster:
        coordinator, num_processes, process_id = _of_cluster()
    _keep_stdout_for_results()
    if num_processes > 1:
        at = urllib.parse.urlsplit(f"//{coordinator}")
        meeting.meet(at.hostname or "", at.port or 0, process_id, num_processes)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            # Arguments take precedence over a cluster's job around them.
            cluster_detection_method=None if cluster else "deactivate",
        )
    except RuntimeError as error:
        raise _not_joined(error) from error
    # Processes exchange their devices now: no later question waits for an answer.
    jax.devices()


def _of_cluster() -> tuple[str, int, int]:
    """Coordinator, number of processes and index, as JAX finds them.

    Raises:
        ValueError: the environment names no cluster.
        OSError: the cluster did not answer.
    """
    # No public function of JAX tells them before it joins, which is too late to meet.
    from jax._src import clusters

    try:
        coordinator, num_processes, process_id, _ = (
            clusters.ClusterEnv.auto_detect_unset_distributed_params(
                os.environ.get("JAX_COORDINATOR_ADDRESS"),
                *(None, None, None, None),
                int(meeting.REACH_S),
            )
        )
    except RuntimeError as error:
        raise _not_joined(error) from error
    if coordinator is None or num_processes is None or process_id is None:
        raise ValueError(
            "cluster: the environment names no cluster that JAX knows. Give "
            "coordinator=HOST:PORT, num_processes=N and process_id=I"
        )
    return coordinator, num_processes, process_id


def _not_joined(error: RuntimeError) -> OSError:
    return OSError(
        f"the processes could not be joined: {str(error).splitlines()[0]}. Start "
        "process 0, and open its port to the others"
    )


def _check_given(coordinator, num_processes, process_id, cluster: bool) -> None:
    given = {
        "coordinator": coordinator,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    there = [name for name, value in given.items() if value is not None]
    if cluster and there:
        raise ValueError(f"cluster sets the processes: leave out {', '.join(there)}")
    if not there:
        return
    if len(there) < len(given):
        missing = [name for name in given if name not in there]
        raise ValueError(
            f"{' and '.join(missing)} missing: several processes need coordinator="
            "HOST:PORT, num_processes=N and process_id=I, or cluster"
        )
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise ValueError(
            f"process_id={process_id} and num_processes={num_processes}: process_id "
            "must be a number from 0 to one less than num_processes"
        )
    try:
        port = urllib.parse.urlsplit(f"//{coordinator}").port
    except ValueError:
        port = None
    if not port:
        raise ValueError(
            f"coordinator={coordinator}: give host and port of process 0, such as "
            "10.0.0.1:8476"
        )


def _keep_stdout_for_results() -> None:
    """Point descriptor 1 to standard error, and `print` to the old descriptor."""
    sys.stdout.flush()
    results = os.dup(1)
    streams.redirect(1, 2, without=b"[Gloo]")
    sys.stdout = streams.tolerant(results, sys.stdout.encoding, by_lines=True)


def first_does(what: str, action: Callable[[], _T]) -> _T:
    """Run `action` in the first process, then in the others, and return its result.

    Use it for shared files that are made once, in folders that all processes see.

    Args:
        what: name of the step, equal in every process, and used for no other step.
        action: makes the files, or finds them made.

    Raises:
        OtherProcessEnded: the first process failed; the error has its message.
    """
    here = process()
    if here.index > 0:
        _hear(what, 0)
        return action()
    result = action()
    _tell(what, here)
    return result


def first_says(what: str, question: Callable[[], bool]) -> bool:
    """Answer of the first process, in every process.

    Processes may see a new file at different times, so one of them decides for all.

    Args:
        what: name of the step, equal in every process, and used for no other step.
        question: asked in the first process only.

    Raises:
        OtherProcessEnded: the first process failed; the error has its message.
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
        what: name of the step, equal in every process, and used for no other step.
        action: done by all processes at the same time.

    Raises:
        OtherProcessEnded: another process failed; the error has its message.
    """
    here = process()
    result = action()
    _tell(what, here)
    for other in range(here.count):
        if other != here.index:
            _hear(what, other)
    return result


def detach() -> None:
    """Leave the process group; this process continues alone.

    All processes must call this, so use `all_do` first. Collectives over devices of
    several processes end; those over `local_mesh` continue.
    """
    mesh = local_mesh()
    if _store().client is not None and mesh is not None:
        # Gloo and NCCL connect the devices of one process, too, through the first
        # process and once only. They do so here, before the first process is gone.
        ones = jax.device_put(np.ones(mesh.size, np.float32), split_batch(mesh))
        jax.jit(jnp.sum, out_shardings=replicate(mesh))(ones).block_until_ready()
    jax.distributed.shutdown()


@contextlib.contextmanager
def tell_failures() -> Iterator[None]:
    """End the other processes with this one's message if the block fails.

    The failing process exits at once. Otherwise JAX would wait minutes for the others.
    A process that a signal ends while its main thread is blocked does the same.
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
    """Send the other processes, if any, the reason why this one ends."""
    if (client := _store().client) is None:
        return False
    index = process().index
    with contextlib.suppress(Exception):
        client.key_value_set(f"{_ENDED}/{index}", f"process {index} ended: {text}")
    return True


def _leave() -> None:
    """End this process at once, after printing what is buffered."""
    _let_hear()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(interrupts.exit_code() or 1)


def _let_hear() -> None:
    """Wait until the others have received this process's last message."""
    if process().index == 0:  # which serves the messages
        time.sleep(2 * _LISTEN_MS / 1000)


def _store():
    """JAX's state of the processes; its `client` is None when alone or detached."""
    # JAX 0.10.2 has no public message that waits for no other process:
    # `jax.distributed` joins and leaves, and `multihost_utils` runs collectives. Orbax
    # uses this state, too.
    from jax._src import distributed

    return distributed.global_state


def _tell(what: str, here: Process, text: str = "done") -> None:
    client = _store().client
    if here.count > 1 and client is not None:
        client.key_value_set(f"advjax/{what}/{here.index}", text, True)


def _hear(what: str, index: int) -> str:
    """Wait for the message of process `index` about `what`, for any length of time.

    The store is queried repeatedly: a collective would time out, since training takes
    hours. JAX's own heartbeat ends the other processes if one is killed.
    """
    client = _store().client
    if client is None:
        raise RuntimeError(f"the processes are detached: {what!r} never arrives")
    while True:
        ended = client.key_value_dir_get(_ENDED)
        if ended:
            raise OtherProcessEnded(ended[0][1])
        try:
            return client.blocking_key_value_get(f"advjax/{what}/{index}", _LISTEN_MS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise OtherProcessEnded(
                    f"process {index} cannot be reached: {error}"
                ) from error
