"""Tables and a figure of finished certification runs.

  python -m experiments.report --runs=runs/certify/A,runs/certify/B --out=comparison

Prints the certified accuracies, one line a run, and writes report.md and curve.png.
"""

import pathlib

from absl import flags

from experiments import app, certification, pipeline

RUNS = flags.DEFINE_list("runs", [], "Folders of runs, separated by commas.")
OUT = flags.DEFINE_string("out", "comparison", "Where report.md and curve.png go.")


def main() -> None:
    """Report."""
    if not RUNS.value:
        raise ValueError("name at least one run: --runs=FOLDER[,FOLDER...]")
    folders = [pathlib.Path(folder) for folder in RUNS.value]
    print(certification.report(folders, pathlib.Path(OUT.value)))
    pipeline.say(f"report      {OUT.value}/report.md, curve.png")


if __name__ == "__main__":
    app.run(main)
