"""launch.sh on clusters, given values that another language would take for its own."""

import os
import subprocess
import unicodedata

import pytest
import yaml

from tests.clusters import FLAGS, HOME, K8S, Cluster, cluster, words

__all__ = ["cluster"]

# What each would do: another line of the file, a command, an option, another type or
# another key. TOUCH makes a file that must never be there.
HOSTILE = (
    "x\n#SBATCH --nodelist=all\nTOUCH",
    "x\n      hostNetwork: true",
    'x"\n  evil: "1',
    "$(TOUCH)",
    "`TOUCH`",
    "x; TOUCH",
    "x && TOUCH",
    "x | TOUCH",
    "';TOUCH;'",
    '";TOUCH;"',
    "x --nodelist=all",
    "x: y",
    "x #y",
    "-x",
    "--flags-file=x",
    "{x: y}",
    "&x",
    "!!x",
    "*",
    "~",
    "\\",
    "x\ty",
    "x\r",
    "x\x1b[2J",
    "x\n",
    "\u2028x",
    "\x85x",
    "x\x9b2J",
    "é",
    "²",
    "٣",
)
WORST = (HOSTILE[0], '";TOUCH;"', "-$(TOUCH)")

# The variables that must fit, by where they are used.
CHECKED = {
    "slurm": ("NODES", "GPUS_PER_NODE", "CPUS_PER_NODE", "JOB", "TIME")
    + ("PARTITION", "ACCOUNT", "EXTRAS"),
    "k8s": ("NODES", "GPUS_PER_NODE", "JOB", "IMAGE", "CLAIM"),
    "tpu:pod": ("ZONE", "PROJECT", "EXTRAS"),
}
EACH = [(on, name) for on, names in CHECKED.items() for name in names]


def attempt(cluster: Cluster, on: str, **more: str) -> tuple[int, str, str]:
    return cluster.launch(f"--on={on}", "attack", HOME, **K8S | more)


def armed(value: str, cluster: Cluster) -> str:
    return value.replace("TOUCH", f"touch {cluster.root.parent}/touched")


def assert_refused(cluster: Cluster, name: str, came: tuple[int, str, str]):
    code, out, err = came
    assert (code, out) == (1, "")
    assert err.startswith("launch.sh: ") and name in err
    assert err.endswith("\n")
    assert not any(unicodedata.category(c) == "Cc" for c in err[:-1])
    assert_untouched(cluster)
    assert list(cluster.told.iterdir()) == []
    assert cluster.installs() == []


def assert_untouched(cluster: Cluster):
    assert not (cluster.root.parent / "touched").exists()


@pytest.mark.parametrize(("on", "name"), EACH)
def test_what_would_be_another_line_or_command_is_refused(cluster, on, name):
    value = armed("\n".join(WORST), cluster)
    assert_refused(cluster, name, attempt(cluster, on, **{name: value}))


@pytest.mark.slow
@pytest.mark.parametrize(("on", "name"), EACH)
def test_every_value_that_does_not_fit_is_refused(cluster, on, name):
    for value in (*HOSTILE, *WORST):
        came = attempt(cluster, on, **{name: armed(value, cluster)})
        assert_refused(cluster, name, came)


@pytest.mark.parametrize("value", [WORST[0], "-x", "../x", "x@-y", "x:y"])
def test_a_slice_that_is_no_name_is_refused(cluster, value):
    came = attempt(cluster, f"tpu:{armed(value, cluster)}")
    assert_refused(cluster, "--on=tpu:", came)


@pytest.mark.parametrize(
    ("on", "variables"),
    [
        ("slurm", {"JOB": "3.Runs_b", "TIME": "1-12:00:00", "PARTITION": "gpu,long"}),
        ("slurm", {"ACCOUNT": "def-a.b_c@d", "TIME": "UNLIMITED", "NODES": "12"}),
        ("slurm", {"CPUS_PER_NODE": "48", "GPUS_PER_NODE": "0", "TIME": "90"}),
        ("k8s", {"IMAGE": "host:5000/a/b.c_d:v1@sha256:0af", "CLAIM": "my.runs-2"}),
        ("tpu:a.b_c@my-pod", {"ZONE": "us-central2-b", "PROJECT": "domain.com:p-1"}),
    ],
)
def test_what_fits_is_taken(cluster, on, variables):
    code, out, err = cluster.launch(
        f"--on={on}", "--dry_run", "attack", HOME, **K8S | variables
    )
    assert code == 0, err
    for value in variables.values():
        assert value.lower().replace(".", "-").replace("_", "-") in (
            out.lower().replace(".", "-").replace("_", "-")
        )


@pytest.mark.parametrize("job", ["null", "true", "on", "e1", "N"])
def test_a_name_of_a_manifest_is_text(cluster, job):
    code, out, err = attempt(cluster, "k8s", JOB=job)
    assert code == 0, err
    service, made = yaml.safe_load_all(out)
    pods = made["spec"]["template"]["spec"]
    assert service["spec"]["selector"] == {"job-name": job.lower()}
    for name in (service["metadata"]["name"], made["metadata"]["name"]):
        assert name == job.lower()
    assert pods["subdomain"] == job.lower()


@pytest.mark.parametrize("job", ["3b", "b-", "b" * 62])
def test_a_name_that_kubernetes_does_not_take_is_refused(cluster, job):
    assert_refused(cluster, "JOB", attempt(cluster, "k8s", JOB=job))


def test_flags_of_a_manifest_stay_what_they_are(cluster):
    flags = [
        armed(value, cluster)
        for value in HOSTILE
        if not any(unicodedata.category(c) == "Cc" for c in value)
    ]
    code, out, err = cluster.launch("--on=k8s", "attack", *flags, **K8S)
    assert code == 0, err
    pod = [*yaml.safe_load_all(out)][1]["spec"]["template"]["spec"]
    command = [word.replace("$$", "$") for word in pod["containers"][0]["command"]]
    assert command[3 : 3 + len(flags)] == flags
    assert "hostNetwork" not in pod


@pytest.mark.parametrize("value", ["x\x1b[2J", "x\ty", "x\x9b2J", "x\x85"])
def test_flags_of_a_manifest_have_no_control_characters(cluster, value):
    code, out, err = cluster.launch("--on=k8s", "attack", value, **K8S)
    assert (code, out) == (1, "")
    assert "control character" in err


ODD = "$(TOUCH)`TOUCH`;TOUCH #\"x: y\" 'é' --z"


@pytest.mark.parametrize("value", [f"{ODD}\n#SBATCH --nodelist=all\n", f"-{ODD}"])
def test_the_folders_of_a_slurm_job_are_quoted(cluster, value):
    # A folder's name holds no slash, so the file is made where the command runs.
    odd = cluster.root.parent / value.replace("TOUCH", "touch touched")
    odd.mkdir()
    (odd / "python3").symlink_to(cluster.python)
    process = subprocess.run(
        [str(cluster.root / "launch.sh"), "--on=slurm", "attack", *FLAGS, value],
        env={**os.environ, **cluster.more, "VENV": "e" + odd.name, "EXTRAS": ""},
        cwd=odd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    script = (cluster.told / "job").read_text()
    assert "--nodelist" not in script.partition("set -euo")[0]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert [said[0] for said in cluster.processes()] == [str(odd)] * 2
    assert [said[3:] for said in cluster.processes()] == [
        words(*FLAGS, value, "--cluster")
    ] * 2
    assert sorted(path.name for path in odd.iterdir() if path.name != "python3") == [
        "e" + odd.name,
        f"e{odd.name}.lock",
    ]
    assert not list(cluster.root.parent.rglob("touched"))


@pytest.mark.parametrize("folder", [ODD, f"-{ODD}", "-", "~", f"~/-{ODD}", "a//b c"])
def test_the_folder_of_a_slice_is_quoted_and_no_option(cluster, folder):
    folder = folder.replace("TOUCH", "touch touched")
    code, _, err = attempt(cluster, "tpu:pod", REMOTE_DIR=folder)
    assert code == 0, err
    inside = folder.removeprefix("~").strip("/").replace("//", "/")
    for worker, said in zip(("worker0", "worker1"), cluster.processes(), strict=True):
        assert said[0] == str(cluster.told / worker / inside).rstrip("/")
    assert not list(cluster.root.parent.rglob("touched"))


@pytest.mark.parametrize("folder", ["x\ny", "x\x1b[2J", "~root/x"])
def test_a_folder_that_is_not_meant_is_refused(cluster, folder):
    came = attempt(cluster, "tpu:pod", REMOTE_DIR=folder)
    assert_refused(cluster, "REMOTE_DIR", came)


def test_the_python_of_a_slice_is_quoted(cluster):
    odd = cluster.root.parent / ODD.replace("TOUCH", "touch touched")
    odd.symlink_to(cluster.python)
    assert attempt(cluster, "tpu:pod", PYTHON=str(odd))[0] == 0
    assert len(cluster.processes()) == 2
    assert not list(cluster.root.parent.rglob("touched"))


@pytest.mark.parametrize("name", ["attack\ncertify", "attack\n", "\x1b[2J"])
def test_a_program_is_one_line(cluster, name):
    code, out, err = cluster.launch("--on=slurm", name)
    assert (code, out) == (2, "")
    assert "no program '" in err and "\x1b" not in err
