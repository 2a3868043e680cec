"""Tables and a figure of finished certification runs.

  python -m experiments.report --runs=runs/certify/A,runs/certify/B --out=comparison

Prints the certified accuracies, one line a run, and writes report.md and curve.png.
"""

import pathlib

from experiments import app, certification, pipeline

app.declare_key(app.RUNS, app.OUT)


def main() -> None:
    """Report."""
    if not app.RUNS.value:
        raise ValueError("name at least one run: --runs=FOLDER[,FOLDER...]")
    out = pathlib.Path(app.OUT.value or "comparison")
    folders = [pathlib.Path(folder) for folder in app.RUNS.value]
    print(certification.report(folders, out))
    pipeline.say(f"report      {out}/report.md, curve.png")


if __name__ == "__main__":
    app.run(main)
