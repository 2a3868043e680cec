"""Certify a classifier by randomized smoothing; one row per test example.

  python -m experiments.certify --rep=mfbe --sigma=0.25

needs nothing else: without --corpus, --records and --classifier it builds records of
the embedded synthetic speakers, trains a network that fits the machine, and certifies
it.

  python -m experiments.certify --rep=mfbe --sigma=0.25 \\
      --corpus=librispeech --corpus_dir=LibriSpeech

does the same with real speakers. Prints the table of certified accuracies and writes
rows.tsv, run.json, report.md and curve.png into the run's folder. A run that was
stopped goes on where it was when the same command is given again.

  python -m experiments.certify --rep=mfbe --sigma=0.25 --num_estimation=10000 \\
      --bound=sequential --radii=0.05,0.1,0.25

draws votes only until each radius is decided, and says how many that saved.

Several processes share a run when each is given the same command, a --home that all of
them see, and --coordinator=HOST:PORT --num_processes=N --process_id=I, or --cluster.
Each takes its share of the points and writes rows-I-of-N.tsv; the one that comes last
writes the report. A lost process costs its share only: when the others are through, the
same command, with any number of processes, certifies what is missing.

The publication's settings, which are the defaults on an accelerator:
  --model="rescnn(width=64)" --num_selection=500 --num_estimation=10000 --num_points=300
"""

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from data_prep.path_flags import define_path
from experiments import app

if TYPE_CHECKING:
    from experiments.lab import certification, pipeline

NUM_SELECTION = flags.DEFINE_integer(
    "num_selection", None, "Votes that choose the class (n0); default 100 on CPU, 500."
)
NUM_ESTIMATION = flags.DEFINE_integer(
    "num_estimation", None, "Fresh votes that bound its share (n); default 1000, 10000."
)
BOUND = flags.DEFINE_enum(
    "bound",
    "clopper_pearson",
    ["clopper_pearson", "sequential"],
    "What a certificate rests on. clopper_pearson: --num_estimation votes for every "
    "point. sequential: a point's votes stop once it is known at which of --radii it "
    "is certified, and at --num_estimation at the latest; --alpha holds all the same. "
    "Clear points take a few dozen votes. It costs a little of the largest radius, "
    "and radii in between the asked ones are not pursued.",
)
ALPHA = flags.DEFINE_float("alpha", 1e-3, "Failure probability of each certificate.")
RADII = flags.DEFINE_list(
    "radii",
    None,
    "Radii of the table, in the units of --rep, and those that --bound=sequential is "
    "asked about; default: the publication's.",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "tf32", "bfloat16"],
    "That of the network; the front end and the noise stay in float32. A certificate "
    "is for the network in this precision.",
)
TILE = flags.DEFINE_integer(
    "tile",
    None,
    "Noisy copies of a point evaluated at once; default 20 on a CPU and 1000 on an "
    "accelerator, or as many as memory holds; 20 with --bound=sequential. Another tile "
    "draws other noise.",
    lower_bound=1,
)
PROFILE = define_path(
    "profile", None, "Folder for a JAX trace of some dispatches in the steady state."
)
app.declare_key(
    *app.MODEL_FLAGS,
    *app.DATA_FLAGS,
    app.NUM_POINTS,
    app.WORKDIR,
    *app.RUN_FLAGS,
    *app.PROCESS_FLAGS,
)


def main() -> None:
    """Certify, then report."""
    import jax

    from experiments.lab import certification, pipeline, preflight

    task = app.task()
    size = pipeline.size_of(jax.default_backend())
    request = request_of(size)
    workdir = pathlib.Path(app.WORKDIR.value) if app.WORKDIR.value else None
    preflight.check_certification(
        task, request, num_points=app.NUM_POINTS.value, workdir=workdir
    )
    num_points = task.num_points(app.NUM_POINTS.value, size.num_points)
    if size is pipeline.CPU:
        pipeline.say(
            "sized for a CPU; the publication's settings: --model='rescnn(width=64)' "
            "--num_selection=500 --num_estimation=10000 --num_points=300"
        )
    folder = certification.certify(
        task,
        request,
        num_points=num_points,
        workdir=workdir,
        environment=app.environment(),
    )
    if left := certification.num_missing(folder):
        pipeline.say(
            f"{left} points are left to the other processes, and the report to the "
            "last of them; should one have ended early, give the same command again"
        )
        return
    print(
        certification.report([folder], folder, radii=request.radii, alpha=request.alpha)
    )
    plot = "curve.png, " if (folder / "curve.png").exists() else ""
    pipeline.say(f"report      {folder}/report.md, {plot}rows*.tsv, run.json")


def request_of(size: "pipeline.Size") -> "certification.Certification":
    """How to certify, as the flags say it."""
    from advjax.reports import tables
    from experiments.lab import certification, preflight

    radii = RADII.value and preflight.numbers("radii", RADII.value)
    return certification.Certification(
        num_selection=_or(NUM_SELECTION.value, size.num_selection),
        num_estimation=_or(NUM_ESTIMATION.value, size.num_estimation),
        alpha=ALPHA.value,
        radii=radii or tables.PUBLICATION_RADII,
        precision=PRECISION.value,
        tile=TILE.value,
        bound=BOUND.value,
        profile=pathlib.Path(PROFILE.value) if PROFILE.value else None,
    )


def _or(given: int | None, default: int) -> int:
    return default if given is None else given


if __name__ == "__main__":
    app.run(main, several_processes=True, device_per_core=True)
