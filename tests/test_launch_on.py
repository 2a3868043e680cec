"""launch.sh on clusters: what it generates is run by programs that only pretend."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import yaml

from tests.clusters import FLAGS, HOME, K8S, Cluster, cluster, words
from tests.test_launch import ROOT

__all__ = ["cluster"]


def test_every_worker_of_a_slice_gets_the_code_and_the_flags(cluster):
    code, _, err = cluster.launch(
        "--on=tpu:me@pod", "attack", HOME, *FLAGS, ZONE="z-1", PROJECT="p"
    )
    assert code == 0, err
    where = ["me@pod", "--worker=all", "--zone=z-1", "--project=p"]
    assert cluster.said("gcloud.ssh")[:-1] == [
        "compute",
        "tpus",
        "tpu-vm",
        "ssh",
        *where,
    ]
    assert cluster.said("gcloud.scp")[-3:] == where[1:]
    assert cluster.processes() == [
        [str(cluster.told / worker / "advjax"), "", ""]
        + words(HOME, *FLAGS, "--cluster")
        for worker in ("worker0", "worker1")
    ]
    assert cluster.installs() == ["tpu"] * 2


@pytest.mark.parametrize("folder", ["code/ad v", "~/code/ad v"])
def test_the_code_of_a_slice_goes_where_it_is_told(cluster, folder):
    cluster.launch("--on=tpu:pod", "attack", "--home", "/m", REMOTE_DIR=folder)
    places = [said[0] for said in cluster.processes()]
    assert places == [str(cluster.told / f"worker{i}/code/ad v") for i in (0, 1)]


def test_a_slice_needs_a_folder_that_all_workers_share(cluster):
    code, _, err = cluster.launch("--on=tpu:pod", "attack", "--homes=/m")
    assert code == 1
    assert "--home=/mnt/runs" in err
    assert list(cluster.told.iterdir()) == []


def test_a_slurm_job_runs_one_process_a_node_with_all_its_gpus(cluster):
    there = cluster.root.parent / "some where"
    there.mkdir()
    script = cluster.launch(
        *("--on=slurm", "--dry_run", "attack", *FLAGS),
        **{"NODES": "2", "GPUS_PER_NODE": "4", "PARTITION": "long", "TIME": "1:00:00"},
    )[1]
    for line in ("nodes=2", "ntasks-per-node=1", "cpus-per-task=32", "gres=gpu:4"):
        assert f"#SBATCH --{line}\n" in script
    assert "#SBATCH --partition=long\n#SBATCH --time=" not in script
    assert "#SBATCH --time=1:00:00\n#SBATCH --partition=long\n" in script
    assert "account" not in script
    # Directives count only before the first command.
    assert "#SBATCH" not in script.partition("set -euo")[2]
    cluster.shell(script)
    here = os.getcwd()
    assert cluster.processes() == [
        [here, rank, "0,1,2,3", *words(*FLAGS, "--cluster")] for rank in ("0", "1")
    ]
    assert cluster.installs() == ["cuda12"]
    # Not by a task: on a network's file system two may hold the lock at once.
    assert cluster.said("srun") == ["32", cluster.pip_log.read_text().strip()]


def test_a_slurm_job_starts_again_for_the_share_of_a_lost_process(cluster):
    (cluster.told / "lose").touch()
    assert cluster.launch("--on=slurm", "attack")[0] == 0
    assert [said[1] for said in cluster.processes()] == ["0", "0", "1", "1"]


def test_a_slurm_job_is_submitted_with_its_environment_made(cluster):
    code, out, err = cluster.launch("--on=slurm", "attack", GPUS_PER_NODE="0")
    assert code == 0, err
    script = (cluster.told / "job").read_text()
    assert (
        script
        == cluster.launch("--on=slurm", "--dry_run", "attack", GPUS_PER_NODE="0")[1]
    )
    assert "gpu" not in script
    assert [said[2] for said in cluster.processes()] == ["", ""]
    assert cluster.installs() == ["base"]


# JAX says which GPUs it will take only to its log.
PEER = """
import json, logging, os, sys
import jax
if __name__ == "__main__":
    log = os.environ["TOLD"] + "/log" + os.environ["SLURM_PROCID"]
    logging.basicConfig(filename=log, level=logging.INFO)
    jax.distributed.initialize()
    seen = [jax.process_index(), jax.process_count(), *sys.argv[1:]]
    print(json.dumps(seen), file=open(log + ".seen", "w"))
"""


@pytest.mark.slow
def test_jax_finds_its_peers_and_its_devices_in_a_slurm_job(cluster):
    (cluster.root / "experiments/__init__.py").touch()
    (cluster.root / "experiments/attack.py").write_text(PEER)
    # JAX takes the coordinator's port from the job's number.
    job = next(n for n in range(os.getpid(), os.getpid() + 999) if _free(n))
    code, _, err = cluster.launch(
        *("--on=slurm", "attack", *FLAGS),
        **{"GPUS_PER_NODE": "2", "SLURM_JOB_ID": str(job)},
        **{"REAL_PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"},
    )
    assert code == 0, err
    for rank in (0, 1):
        seen = json.loads((cluster.told / f"log{rank}.seen").read_text())
        assert seen == [rank, 2, *FLAGS, "--cluster"]
        assert "visible devices: 0,1\n" in (cluster.told / f"log{rank}").read_text()


def _free(job: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", job % 2**12 + 2**16 - 2**12))
        except OSError:
            return False
    return True


def manifest(cluster: Cluster, *args: str, **more: str) -> tuple[dict, dict]:
    code, out, err = cluster.launch("--on=k8s", *args, **K8S | more)
    assert code == 0, err
    assert "kubectl apply -f -" in err
    return tuple(yaml.safe_load_all(out))


def expanded(word: str, variables: dict[str, str]) -> str:
    """A word of a container's command as Kubernetes gives it to the program."""
    return re.sub(
        r"\$\$|\$\((\w+)\)",
        lambda found: variables.get(found[1], found[0]) if found[1] else "$",
        word,
    )


def test_a_manifest_starts_one_process_a_pod_that_finds_the_others(cluster):
    service, job = manifest(cluster, "attack", *FLAGS, GPUS_PER_NODE="4")
    name = job["metadata"]["name"]
    assert name == "advjax-attack"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": name}
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"]
    (container,) = pod["containers"]
    assert container["image"] == K8S["IMAGE"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 4}
    for index in ("0", "1"):
        subprocess.run(
            [
                expanded(w, {"JOB_COMPLETION_INDEX": index})
                for w in container["command"]
            ],
            cwd=cluster.root,
            env=os.environ | cluster.more,
            check=True,
            timeout=60,
        )
    peers = (f"--coordinator={name}-0.{pod['subdomain']}:8476", "--num_processes=2")
    assert sorted(said[3:] for said in cluster.processes()) == [
        words("--home=/runs", *FLAGS, *peers, f"--process_id={i}") for i in (0, 1)
    ]
    mounts = {at["name"]: at["mountPath"] for at in container["volumeMounts"]}
    (claimed,) = (v for v in pod["volumes"] if "persistentVolumeClaim" in v)
    assert claimed["persistentVolumeClaim"] == {"claimName": "runs"}
    assert mounts[claimed["name"]] == "/runs"


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("gpus", ["0", "8"])
def test_a_manifest_has_the_fields_that_kubernetes_knows(cluster, version, gpus):
    schemas = pytest.importorskip("kubernetes_validate")
    parts = manifest(cluster, "attack", *FLAGS, GPUS_PER_NODE=gpus)
    for part in parts:
        assert schemas.validate(part, version, strict=True) == version
    parts[1]["spec"]["template"]["spec"]["restart"] = "Never"
    with pytest.raises(schemas.ValidationError, match="restart"):
        schemas.validate(parts[1], version, strict=True)


def test_a_pod_that_is_lost_starts_again(cluster):
    _, job = manifest(cluster, "attack")
    # With Never and a failure policy a pod's successor waits until it has ended: two of
    # one index would write the same files.
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    # Of its own failures: what ends one pod for good lets the others finish.
    assert job["spec"]["backoffLimitPerIndex"] > 1
    assert "backoffLimit" not in job["spec"]


def test_a_manifest_has_names_that_kubernetes_takes(cluster):
    service, job = manifest(cluster, "experiments.studies.speakers", NODES="1")
    assert job["metadata"]["name"] == "advjax-studies-speakers"
    _, job = manifest(cluster, "attack", JOB="Sweep_2.b")
    assert job["metadata"]["name"] == "sweep-2-b"


@pytest.mark.parametrize("lacks", ["IMAGE", "CLAIM"])
def test_a_manifest_needs_an_image_and_a_volume(cluster, lacks):
    code, out, err = cluster.launch("--on=k8s", "attack", **K8S | {lacks: ""})
    assert (code, out) == (1, "")
    assert f"{lacks}=" in err


def test_a_manifest_refuses_a_line_break(cluster):
    code, out, err = cluster.launch("--on=k8s", "attack", "--a=\n", **K8S)
    assert (code, out) == (1, "")
    assert "line break" in err


@pytest.mark.parametrize("on", ["local", "tpu:pod", "slurm", "k8s"])
def test_a_dry_run_leaves_nothing_behind(cluster, on):
    before = sorted(cluster.root.rglob("*"))
    code, out, err = cluster.launch(
        f"--on={on}", "--dry_run", "attack", HOME, *FLAGS, **K8S
    )
    assert code == 0, err
    assert "attack" in out
    assert sorted(cluster.root.rglob("*")) == before
    assert list(cluster.told.iterdir()) == []
    assert cluster.installs() == []


@pytest.mark.parametrize("on", ["local", "tpu:pod"])
def test_a_dry_run_prints_what_runs(cluster, on):
    args = (f"--on={on}", "attack", HOME, *FLAGS)
    cluster.launch("install")
    printed = cluster.launch("--dry_run", *args)[1]
    assert cluster.launch(*args)[0] == 0
    processes = [said[1:] for said in cluster.processes()]
    for path in cluster.told.glob("process.*"):
        path.unlink()
    cluster.shell(printed)
    assert [said[1:] for said in cluster.processes()] == processes
    assert len(processes) == (1 if on == "local" else 2)


def test_an_environment_alone(cluster):
    assert cluster.launch("install", EXTRAS="svm")[:2] == (0, "")
    assert cluster.installs() == ["svm"]
    assert cluster.processes() == []


@pytest.mark.parametrize("name", ["test", "install"])
def test_tests_and_installations_stay_here(cluster, name):
    code, _, err = cluster.launch("--on=slurm", name)
    assert code == 1
    assert "--on=slurm" in err
    assert cluster.installs() == []


@pytest.mark.parametrize("on", ["--on", "--on=", "--on=tpu", "--on=tpu:", "--on=aws"])
def test_an_unknown_place_is_named_with_those_there_are(cluster, on):
    code, _, err = cluster.launch(on, "attack")
    assert code == 1
    for known in ("local", "tpu:SLICE", "slurm", "k8s"):
        assert f"--on={known}" in err


@pytest.mark.parametrize(
    "size", [{"NODES": "0"}, {"NODES": "two"}, {"GPUS_PER_NODE": "a100:4"}]
)
@pytest.mark.parametrize("on", ["slurm", "k8s"])
def test_sizes_are_whole_numbers(cluster, on, size):
    code, out, err = cluster.launch(f"--on={on}", "attack", **K8S | size)
    assert (code, out) == (1, "")
    assert next(iter(size)) in err
    assert cluster.installs() == []


@pytest.mark.parametrize("on", ["tpu:pod", "slurm", "k8s"])
def test_a_copy_of_the_launcher_alone_says_what_it_lacks(cluster, on):
    (cluster.root / "experiments" / "launch_on.sh").unlink()
    code, out, err = cluster.launch(f"--on={on}", "attack", HOME, **K8S)
    assert (code, out) == (1, "")
    assert err == (
        f"launch.sh: --on={on} needs experiments/launch_on.sh, which is "
        "missing: copy it, too\n"
    )
    # Here it needs no other file.
    assert cluster.launch("attack")[0] == 0


@pytest.mark.skipif(bool(shutil.which("sbatch")), reason="this machine has Slurm")
def test_a_machine_without_the_tool_says_so_before_it_installs(cluster):
    (cluster.tools / "sbatch").unlink()
    code, _, err = cluster.launch("--on=slurm", "attack")
    assert code == 1
    assert "--on=slurm needs sbatch" in err
    assert cluster.installs() == []


def test_the_lines_of_the_guide_do_what_they_say(cluster):
    text = (ROOT / "docs/clusters.md").read_text().replace("\\\n   ", "")
    lines = re.findall(r"^[A-Z][A-Z]+=.* \./launch\.sh --on=.*$", text, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        cluster.shell(f"set -o pipefail; {line}", cwd=str(cluster.root))
    assert "--gres=gpu:8\n" in (cluster.told / "job").read_text()
    assert cluster.said("gcloud.ssh")[4:6] == ["my-slice", "--worker=all"]
    _, job = yaml.safe_load_all((cluster.told / "manifest").read_text())
    assert job["spec"]["completions"] == 4
    # Two nodes of Slurm and two workers of the slice, as the tools here pretend.
    told = [said[5:8] for said in cluster.processes()]
    assert told == [["experiments.certify", "--rep=mfbe", "--sigma=0.25"]] * 4
