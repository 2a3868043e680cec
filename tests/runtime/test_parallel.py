"""Processes that wait for each other, and for one that fails."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import pytest

from advjax.runtime import parallel
from advjax.runtime.parallel import Process, start_processes

ROOT = pathlib.Path(__file__).parents[2]
# What process I does is the (I+1)th argument after the port.
WORKER = """
import pathlib, sys
from advjax.runtime import parallel
index, port, folder, does = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
parallel.start_processes("127.0.0.1:" + port, 2, index)
made = pathlib.Path(folder) / "made"

def make():
    if not made.exists():
        made.write_text(f"by {index}")
    return made.read_text()

with parallel.tell_failures():
    if does == "fails":
        raise ValueError("the disk is full")
    assert parallel.first_does("a file", make) == "by 0"
    # Told, and not looked up by each: it would be false in the first process only.
    assert parallel.first_says("a question", lambda: index == 0)
    parallel.all_do("readiness", lambda: print("ready", flush=True))
    parallel.detach()
    if does == "is lost":
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    # After it: a program of its own two devices, compiled and run.
    import time, jax
    from jax.sharding import PartitionSpec
    time.sleep(2)
    mesh = parallel.local_mesh()
    x = jax.device_put(jax.numpy.arange(4), parallel.split_batch(mesh))
    total = jax.jit(
        jax.shard_map(
            lambda x: jax.lax.psum(x.sum(), parallel.AXIS),
            mesh=mesh, in_specs=PartitionSpec(parallel.AXIS), out_specs=PartitionSpec(),
        )
    )(x)
    print(int(total), len(mesh.devices), jax.process_count(), flush=True)
"""

_TWO_DEVICES = "--xla_force_host_platform_device_count=2"


def run_two(folder, *do):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(index), str(port), str(folder), does],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": _TWO_DEVICES},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, does in enumerate(do)
    ]
    said = [worker.communicate(timeout=200) for worker in workers]
    return [worker.returncode for worker in workers], said


# The first process is the one that JAX cannot lose.
@pytest.mark.parametrize("lost", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_after_parting_the_loss_of_a_process_is_not_felt(tmp_path, lost):
    do = ["works", "works"]
    do[lost] = "is lost"
    codes, said = run_two(tmp_path, *do)
    assert codes[lost] == -9
    assert codes[1 - lost] == 0, said[1 - lost][1]
    assert said[1 - lost][0] == "ready\n6 2 2\n"
    for _, stderr in said:
        assert "has met the others after" in stderr
        assert "Gloo" not in stderr


@pytest.mark.parametrize("failing", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_fails_ends_the_other_with_its_message(tmp_path, failing):
    do = ["works", "works"]
    do[failing] = "fails"
    began = time.monotonic()
    codes, said = run_two(tmp_path, *do)
    assert codes == [1, 1]
    assert f"process {failing} ended: the disk is full" in said[1 - failing][1]
    assert "2" not in said[1 - failing][0]
    # JAX's own way would be to wait for five minutes.
    assert time.monotonic() - began < 100


def test_a_share_is_every_nth_of_the_rest():
    shares = [Process(index, 3).share(list("abcdefgh")) for index in range(3)]
    assert shares == [list("adg"), list("beh"), list("cf")]
    assert Process(4, 5).share(["a"]) == []
    assert Process().share(("a", "b")) == ["a", "b"]
    assert Process().name("certify") == "certify"
    assert Process(2, 3).name("certify") == "certify, process 2 of 3"


def test_alone_nothing_is_waited_for(tmp_path):
    assert parallel.process() == Process(0, 1)
    assert parallel.first_does("a", lambda: 1) == 1
    assert parallel.all_do("a", lambda: 2) == 2
    assert parallel.first_says("a", lambda: False) is False
    parallel.detach()
    assert parallel.all_do("a", lambda: 3) == 3


def test_the_local_mesh_has_this_process_s_devices(monkeypatch):
    assert list(parallel.local_mesh().devices) == jax.local_devices()
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    assert parallel.local_mesh() is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("a:1", None, None), "num_processes and process_id missing"),
        ((None, 2, 0), "coordinator missing"),
        ((None, None, 0), "coordinator and num_processes missing"),
        (("a:1", 2, 2), "process_id=2 .*from 0"),
        (("a:1", 2, -1), "process_id=-1"),
        (("a:1", 0, 0), "num_processes=0"),
        (("a", 2, 0), "coordinator=a: give host and port"),
        (("a:b", 2, 0), "coordinator=a:b: give host and port"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_line(given, message):
    with pytest.raises(ValueError, match=message) as caught:
        start_processes(*given)
    assert "\n" not in str(caught.value)


def test_processes_of_slurm_meet_at_its_first_node(monkeypatch):
    slurm = {"JOB_ID": "7", "STEP_NODELIST": "n[1-2],m1", "NTASKS": "3"}
    for name, value in {**slurm, "PROCID": "2", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    met, joined = [], []
    monkeypatch.setattr(parallel.meeting, "meet", lambda *place: met.append(place))
    monkeypatch.setattr(parallel, "_keep_stdout_for_results", lambda: None)
    monkeypatch.setattr(
        jax.distributed, "initialize", lambda *given, **_: joined.append(given)
    )
    start_processes(cluster=True)
    assert met == [("n1", 61447, 2, 3)]
    assert joined == [("n1:61447", 3, 2)]


def test_no_cluster_is_told_in_one_line():
    with pytest.raises(ValueError, match="names no cluster that JAX knows") as caught:
        start_processes(cluster=True)
    assert "\n" not in str(caught.value)


def test_a_cluster_needs_no_numbers_and_one_process_no_coordinator():
    with pytest.raises(ValueError, match="leave out process_id"):
        start_processes(process_id=0, cluster=True)
    start_processes("nowhere:1", 1, 0)
    start_processes()
    assert not jax.distributed.is_initialized()
