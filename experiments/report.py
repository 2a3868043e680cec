"""Tables and figures of finished runs, of certification or of attacks.

  python -m experiments.report --runs=runs/certify/A,runs/certify/B --out=comparison
  python -m experiments.report --runs=runs/attack/A,runs/attack/B --out=comparison

Prints a line for each run and writes report.md and, of certification, curve.png, or of
attacks report.html, with the WAVs that --save_audio wrote, and at several budgets
accuracy_STAGE_UNIT.png. Without --out these go to a folder
comparison-DIGEST of these runs' own; the last line names it.
"""

import pathlib

from advjax.runs import folder as runs
from experiments import app, flags
from experiments.lab import attack_report, certify_report, folder_names
from experiments.lab.console import say

flags.declare(__name__, flags.RUNS, flags.OUT)


def main() -> None:
    """Report."""
    if not flags.RUNS.value:
        raise ValueError("name at least one run: --runs=FOLDER[,FOLDER...]")
    folders = [pathlib.Path(folder) for folder in flags.RUNS.value]
    attacked = {"attack" in runs.description(f)["settings"] for f in folders}
    if len(attacked) > 1:
        raise ValueError("--runs: give runs of certify or of attack, not of both")
    among = {"runs": sorted(str(folder.absolute()) for folder in folders)}
    out = pathlib.Path(flags.OUT.value or folder_names.name_of("comparison", among))
    report = attack_report.report if attacked == {True} else certify_report.report
    print(report(folders, out))
    say(f"report      {out}/report.md, figures and tables")


if __name__ == "__main__":
    app.run(main)
