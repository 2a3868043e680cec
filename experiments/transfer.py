"""Transfer of adversarial examples from one classifier to another: source x target.

  python -m experiments.transfer --runs=runs/attack/A,runs/attack/B

takes runs of `experiments.attack` with their examples, and predicts the examples of
every run by the classifier of every other; --classifiers adds more targets. A row of
the table is a target, a column a source. An entry is the share of the source's
successes that move the target, with its 95 % interval and the counts. Clips that either
classifier misclassifies before the attack, or (targeted) that are of the class to
reach, are in neither count. Prints the table and writes transfer.md and transfer.json
into --out.
"""

import pathlib

from experiments import app, flags

flags.declare(__name__, flags.RUNS, flags.CLASSIFIERS, flags.OUT)


def main() -> None:
    """Predict every run's examples by every classifier."""
    from experiments.lab import transfer
    from experiments.lab.console import say

    folders = [pathlib.Path(folder) for folder in flags.RUNS.value]
    if not folders:
        raise ValueError(
            "give --runs=FOLDER,FOLDER: the folders that experiments.attack printed"
        )
    out = pathlib.Path(flags.OUT.value or "transfer")
    print(transfer.report(folders, flags.CLASSIFIERS.value, out))
    say(f"report      {out}/transfer.md, transfer.json, tables")


if __name__ == "__main__":
    app.run(main)
