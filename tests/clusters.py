"""A project around launch.sh, with tools of clusters that only pretend."""

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.test_launch import ROOT, House

# Two hosts share this machine. A program of the project leaves its words and its rank
# in $TOLD; the tools of the clusters do the part of theirs that launch.sh relies on.
PROGRAM = """  *"-m experiments."*)
    [ -z "$REAL_PYTHON" ] || exec "$REAL_PYTHON" "$@"
    { printf '%s\\0' "$PWD" "${SLURM_PROCID-}" "${JAX_LOCAL_DEVICE_IDS-}" "$@"; } \\
      >"$TOLD/process.$$" ;;
"""
# gcloud splits the command at spaces and ssh joins it again; a login begins at home.
GCLOUD = """#!/bin/bash
printf '%s\\0' "$@" >"$TOLD/gcloud.$4"
for worker in "$TOLD/worker0" "$TOLD/worker1"; do
  mkdir -p "$worker"
  case "$4" in
    scp) cp "$5" "$worker/${6#*:}" ;;
    ssh) for word; do case "$word" in
           --command=*) (cd "$worker" && HOME="$worker" bash -c "${word#*=}") ;;
         esac; done ;;
  esac
done
"""
SBATCH = """#!/bin/bash
cat >"$TOLD/job"
cd / && bash "$TOLD/job"
"""
SRUN = """#!/bin/bash
printf '%s\\0' "$SRUN_CPUS_PER_TASK" "$(cat "$PIP_LOG")" >"$TOLD/srun"
while [ "${1#-}" != "$1" ]; do shift; done
export SLURM_NTASKS=2 SLURM_LOCALID=0 SLURM_STEP_NODELIST=127.0.0.1
SLURM_PROCID=1 "$@" & other=$!
SLURM_PROCID=0 "$@" && wait "$other" && [ ! -e "$TOLD/lose" ] && exit
rm "$TOLD/lose" && exit 137
"""
KUBECTL = """#!/bin/bash
[ "$*" = "apply -f -" ] && cat >"$TOLD/manifest"
"""
TOOLS = {"gcloud": GCLOUD, "sbatch": SBATCH, "srun": SRUN, "kubectl": KUBECTL}
# What a shell, YAML or Kubernetes could each take for something of its own.
FLAGS = (
    "--attack=pgd(num_steps=40)",
    "--attack=carlini_wagner(norm='l2')",
    '--note=two  words & a * $HOME $(HOME) $$ \\ " ` # ü',
    "--empty=",
    "",
)
HOME = "--home=/mnt/the runs"
K8S = {"IMAGE": "registry/advjax:1", "CLAIM": "runs", "NODES": "2"}


class Cluster(House):
    """The small project, with the tools of every cluster on the path."""

    def __init__(self, folder: pathlib.Path):
        super().__init__(folder)
        answers = self.python.read_text()
        self.python.write_text(answers.replace("  *) echo", PROGRAM + "  *) echo"))
        for name in ("README.md", "LICENSE", "experiments/launch_on.sh"):
            shutil.copy(ROOT / name, self.root / name)
        self.program("experiments/attack.py", "Attacks.")
        self.told = folder / "told"
        self.tools = folder / "tools"
        for made in (self.told, self.tools, self.root / "advjax"):
            made.mkdir()
        for name, text in TOOLS.items():
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        self.more = {
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "TOLD": str(self.told),
            "PYTHON": str(self.python),
            "PIP_LOG": str(self.pip_log),
        }

    def start(self, *args: str, **more: str) -> subprocess.Popen:
        return super().start(*args, **self.more | more)

    def shell(self, script: str, cwd: str = "/") -> None:
        """Runs what --dry_run printed, as a person would who pasted it."""
        subprocess.run(
            ["bash", "-e"],
            input=script,
            cwd=cwd,
            env=os.environ | self.more,
            text=True,
            check=True,
            timeout=60,
        )

    def said(self, name: str) -> list[str]:
        """The words that a tool was given."""
        return (self.told / name).read_bytes().decode().split("\0")[:-1]

    def processes(self) -> list[list[str]]:
        """Folder, rank, devices and words of each process of the program, by rank."""
        return sorted(
            (self.said(path.name) for path in self.told.glob("process.*")),
            key=lambda said: said[:2],
        )


@pytest.fixture
def cluster(tmp_path) -> Cluster:
    return Cluster(tmp_path)


def words(*flags: str) -> list[str]:
    return ["-P", "-m", "experiments.attack", *flags]
