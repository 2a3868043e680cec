"""Certify a classifier by randomized smoothing; one row per test example.

  python -m experiments.certify --rep=mfbe --sigma=0.25

Without --corpus, --records and --classifier it builds records of synthetic speakers,
trains a network that fits the machine, and certifies it. With real speakers:

  python -m experiments.certify --rep=mfbe --sigma=0.25 \\
      --corpus=librispeech --corpus_dir=LibriSpeech

Prints the table of certified accuracies and writes rows.tsv, run.json, report.md,
curve.png and the tables as CSV and LaTeX into the run's folder. The same command
continues a run that was stopped.

  python -m experiments.certify --rep=mfbe --sigma=0.25 --num_estimation=10000 \\
      --bound=sequential --radii=0.05,0.1,0.25

draws votes only until each radius is decided, and says how many that saved.

Several processes share a run when each is given the same command, a --home that all of
them see, and --coordinator=HOST:PORT --num_processes=N --process_id=I, or --cluster.
Each takes its share of the points and writes rows-I-of-N.tsv; the last one writes the
report. If a process is lost, only its share is: when the others have ended, the same
command, with any number of processes, certifies what is missing.

--preset=publication stands for the published sizes:
  --model="rescnn(width=64)" --num_selection=500 --num_estimation=10000 --num_points=300
"""

from experiments import app, flags, requests

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *flags.CERTIFY_FLAGS,
    *(flags.PRESET, flags.NUM_POINTS, flags.WORKDIR, flags.LOG),
    *flags.RUN_FLAGS,
    *flags.PROCESS_FLAGS,
)


def main() -> None:
    """Certify, then report."""
    from data_prep.help import command
    from experiments.lab import certify_report, shared_runs
    from experiments.lab.console import say

    _, folder = requests.certified()
    if shared_runs.are_finished([folder]):
        print(certify_report.report([folder], folder, radii=requests.radii()))
        say(f"report      {folder}/report.md, curve.png, tables, rows*.tsv, run.json")
        smoothed = f"{command('experiments.smoothed_attacks')} --run={folder}"
        say(f"next        {smoothed} attacks these clips")


if __name__ == "__main__":
    app.run(main, several_processes=True, device_per_core=True)
