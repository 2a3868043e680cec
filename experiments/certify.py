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

from experiments import app, flags, requests

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *flags.CERTIFY_FLAGS,
    flags.NUM_POINTS,
    flags.WORKDIR,
    *flags.RUN_FLAGS,
    *flags.PROCESS_FLAGS,
)


def main() -> None:
    """Certify, then report."""
    import jax

    from advjax.runs import folder as runs
    from experiments.lab import certify, certify_report, preflight, presets
    from experiments.lab.console import say

    draft = requests.task().draft()
    size = presets.preset_of(jax.default_backend())
    request = requests.certify(size)
    workdir = requests.workdir()
    preflight.check_certification(
        draft, request, num_points=flags.NUM_POINTS.value, workdir=workdir
    )
    if size is presets.SMALL:
        say(
            "sized for a CPU; the publication's settings: --model='rescnn(width=64)' "
            "--num_selection=500 --num_estimation=10000 --num_points=300"
        )
    system = draft.resolve()
    folder = certify.certify(
        system,
        request,
        num_points=system.data.num_points(flags.NUM_POINTS.value, size.num_points),
        workdir=workdir,
        environment=app.environment(),
    )
    if left := runs.num_missing(folder):
        say(
            f"{left} points are left to the other processes, and the report to the "
            "last of them; should one have ended early, give the same command again"
        )
        return
    print(
        certify_report.report(
            [folder], folder, radii=request.radii, alpha=request.alpha
        )
    )
    plot = "curve.png, " if (folder / "curve.png").exists() else ""
    say(f"report      {folder}/report.md, {plot}rows*.tsv, run.json")


if __name__ == "__main__":
    app.run(main, several_processes=True, device_per_core=True)
