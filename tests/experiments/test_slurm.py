"""Programs on a real Slurm of two nodes, which this machine plays.

The daemons are Debian's (`apt-get install slurm-wlm`), with a configuration of their
own and no authentication, so that they need no root and leave nothing behind. Nodes are
named by addresses of this machine, except in a partition with names that nobody knows.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.clusters import PROGRAM
from tests.experiments.test_attack_processes import found
from tests.experiments.test_processes import results, run_folder, wait_for_row
from tests.test_launch import PYTHON, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("sbatch", "slurmctld", "slurmd"))),
        reason="needs Slurm: apt-get install slurm-wlm",
    ),
    pytest.mark.usefixtures("need_array_record"),
]

CONFIGURATION = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
FirstJobId={job}
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
StateSaveLocation={folder}/state
NodeName=127.0.0.1 NodeHostname={host} Port={ports[1]} CPUs=1 RealMemory=1000
NodeName=127.0.0.2 NodeHostname={host} Port={ports[2]} CPUs=1 RealMemory=1000
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[4]} CPUs=1
PartitionName=main Nodes=127.0.0.[1-2] Default=YES State=UP
PartitionName=unknown Nodes=n[1-2] State=UP
"""
NODES = ("127.0.0.1", "127.0.0.2", "n1", "n2")
GIVEN = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "rescnn(width=1, embedding_size=8)",
    "num_steps": 2,
    "batch_size": 16,
}
CERTIFY = {
    **GIVEN,
    "num_selection": 10,
    "num_estimation": 300,
    "num_points": 10,
    "alpha": 0.01,
}
ATTACK = {**GIVEN, "num_points": 5, "attack": "pgd(num_steps=3)", "budget": "30dB"}
# Hardly optimised: compiling is most of the work.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}
TIMEOUT_S = 400


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in probes]


def as_flags(given):
    return [f"--{name}={value}" for name, value in given.items()]


class Slurm:
    """The daemons, and what a person does at the login node."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("state", *NODES):
            (folder / name).mkdir()
        host = subprocess.check_output(["hostname", "-s"], text=True).strip()
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=folder,
                host=host,
                user=user,
                ports=free_ports(5),
                job=os.getpid() % 4000 + 1,  # JAX takes its port from this number
            )
        )
        python = folder / "python"
        python.write_text(PYTHON.replace("  *) echo", PROGRAM + "  *) echo"))
        python.chmod(0o755)
        self.env = os.environ | QUICK
        self.env |= {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "SBATCH_WAIT": "1",
            "VENV": str(folder / "venv"),
            "PYTHON": str(python),
            "REAL_PYTHON": sys.executable,
            "PIP_LOG": str(folder / "pip.log"),
            **{"NODES": "2", "GPUS_PER_NODE": "0", "CPUS_PER_NODE": "1"},
        }
        commands = [["slurmctld"], *(["slurmd", "-N", node] for node in NODES)]
        self.daemons = []
        for command in commands:
            with (folder / f"{command[-1]}.log").open("w") as log:
                self.daemons.append(
                    subprocess.Popen(
                        [command[0], "-D", *command[1:]],
                        env=self.env,
                        stdout=log,
                        stderr=log,
                    )
                )

    def asked(self, *command):
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=False
        ).stdout

    def wait_until(self, happened):
        for _ in range(20 * TIMEOUT_S):
            if happened():
                return
            time.sleep(0.05)
        raise AssertionError("Slurm does not get there")

    def ready(self):
        return self.asked("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * 4

    def close(self):
        self.asked("scancel", "--signal=KILL", "--me")
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            daemon.wait(60)

    def submit(self, name, given, **more):
        """launch.sh, which waits for the job's end, in a folder for the log."""
        return subprocess.Popen(
            [str(ROOT / "launch.sh"), "--on=slurm", name, *as_flags(given)],
            cwd=given["home"],
            env=self.env | more,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def run(self, name, given, **more):
        """Exit code and log of a job."""
        code = self.submit(name, given, **more).wait(TIMEOUT_S)
        return code, self.log(given["home"])

    def log(self, home):
        last = max(home.glob("slurm-*.out"), key=lambda path: path.stat().st_mtime)
        return last.read_text()

    def task(self, index):
        """Number of the process of the program at rank `index`."""
        wanted = {f"SLURM_PROCID={index}", f"SLURM_CONF={self.env['SLURM_CONF']}"}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (process / "environ").read_bytes().decode().split("\0")
                command = (process / "cmdline").read_bytes()
                if wanted <= set(environment) and b"experiments." in command:
                    return int(process.name)
        raise AssertionError(f"no task {index}")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    running = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        running.wait_until(running.ready)
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def trained(slurm, tmp_path_factory):
    """A home with records and a classifier that the two nodes made."""
    home = tmp_path_factory.mktemp("trained")
    code, log = slurm.run("train", {**GIVEN, "home": home})
    assert code == 0, log
    assert "has met the others" in log and "[Gloo]" not in log
    return home


def new_home(trained, folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names or ("records", "classifiers"):
        (folder / name).symlink_to(trained / name)
    return folder


def alone(name, given):
    """Standard error of the program on one host."""
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *as_flags(given)],
        cwd=ROOT,
        env=os.environ | QUICK,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def certified(trained, tmp_path_factory):
    """Rows of one host, with the classifier of the two nodes."""
    home = new_home(trained, tmp_path_factory.mktemp("alone"))
    alone("certify", {**CERTIFY, "home": home})
    return results(home)


def summary(log):
    """Loss, accuracy and best validation of a training."""
    return re.search(r"^train: 2 steps in .*, (loss .*)$", log, re.MULTILINE)[1]


def test_two_nodes_train_what_one_host_does(slurm, trained, tmp_path):
    # Biases before a batch norm have no gradient but rounding, which Adam makes steps.
    log = alone("train", {**GIVEN, "home": new_home(trained, tmp_path, "records")})
    assert summary(log) == summary(slurm.log(trained))


def certifying(slurm, home):
    """A job that has written a row of the second node."""
    job = slurm.submit("certify", {**CERTIFY, "home": home})
    wait_for_row(home, "rows-1-of-2.tsv", job)
    return job


def test_rows_are_those_of_one_host_after_a_task_is_killed(
    slurm, trained, certified, tmp_path
):
    home = new_home(trained, tmp_path)
    job = certifying(slurm, home)
    os.kill(slurm.task(1), signal.SIGKILL)
    assert job.wait(TIMEOUT_S) == 0, slurm.log(home)
    log = slurm.log(home)
    print(log)
    assert "task 1: Killed" in log
    # The job started the program again by itself, for what was left.
    assert log.count("process 0 of 2 waits at 127.0.0.1:") == 2
    assert results(home) == certified


def test_rows_are_those_of_one_host_after_a_cancel_and_the_same_command(
    slurm, trained, certified, tmp_path
):
    home = new_home(trained, tmp_path)
    job = certifying(slurm, home)
    slurm.asked("scancel", "--me")
    assert job.wait(TIMEOUT_S) != 0
    slurm.wait_until(slurm.ready)
    assert 0 < len(results(home)) < 10
    code, log = slurm.run("certify", {**CERTIFY, "home": home})
    print(log)
    assert code == 0, log
    assert results(home) == certified
    assert (run_folder(home) / "report.md").exists()


def test_two_nodes_attack_as_one_host_does(slurm, trained, tmp_path):
    homes = [new_home(trained, tmp_path / name) for name in ("both", "one")]
    code, log = slurm.run("attack", {**ATTACK, "home": homes[0]})
    assert code == 0, log
    alone("attack", {**ATTACK, "home": homes[1]})
    (_, rows, x_adv), (_, want, want_x_adv) = (found(home, "pgd") for home in homes)
    assert rows.id == want.id
    np.testing.assert_array_equal(rows.success, want.success)
    np.testing.assert_array_equal(rows.queries, want.queries)
    np.testing.assert_allclose(x_adv, want_x_adv, atol=1e-4)


def test_a_node_whose_name_nobody_knows_is_told_in_one_line(slurm, tmp_path):
    code, log = slurm.run("train", {**GIVEN, "home": tmp_path}, PARTITION="unknown")
    print(log)
    assert code != 0
    errors = [line for line in log.splitlines() if line.startswith("error:")]
    # Two processes of each of three starts.
    assert len(errors) == 6
    assert all("this host does not know the name n1" in line for line in errors)
    assert "stack trace" not in log
