"""Whether adversarial examples of one classifier fool another: source x target.

  python -m experiments.transfer --runs=runs/attack/A,runs/attack/B

takes the runs of `experiments.attack` with the examples that they saved, and asks the
classifier of every run about the examples of every other; --classifiers adds more
targets. A row of the table is a target, a column a source; an entry is the share of
the source's successes that change the target's own clean answer. Prints the table and
writes transfer.md and transfer.json into
--out.
"""

import json
import pathlib

import numpy as np
from absl import flags

from advjax import checkpoint, evaluation, records
from advjax.metrics.transfer import transfer_rate
from advjax.reports import attack_rows, runs, tables
from experiments import app, pipeline
from experiments.attack_report import label_of
from experiments.attacking import examples

CLASSIFIERS = flags.DEFINE_list(
    "classifiers", [], "Folders of further classifiers to ask."
)
app.declare_key(app.RUNS, app.OUT)


def main() -> None:
    """Ask every classifier about every run's examples."""
    folders = [pathlib.Path(folder) for folder in app.RUNS.value]
    if not folders:
        raise ValueError(
            "give --runs=FOLDER,FOLDER: the folders that experiments.attack printed"
        )
    sources = [runs.description(folder) for folder in folders]
    targets = dict.fromkeys(
        [source["environment"].get("classifier_folder", "") for source in sources]
        + CLASSIFIERS.value
    )
    rates = [
        [rate(target, source, f) for source, f in zip(sources, folders, strict=True)]
        for target in targets
    ]
    names = [f"{n}: {label_of(s['settings'])}" for n, s in enumerate(sources, start=1)]
    table = tables.Table(
        ["target", *(str(n) for n in range(1, len(folders) + 1))],
        [
            [pathlib.Path(target).name, *(f"{value:.3f}" for value in row)]
            for target, row in zip(targets, rates, strict=True)
        ],
        ["columns: the runs the examples come from", *names],
    )
    out = pathlib.Path(app.OUT.value or "transfer")
    out.mkdir(parents=True, exist_ok=True)
    (out / "transfer.md").write_text(
        "# Transfer\n\n" + tables.as_markdown(table) + "\n"
    )
    found = {"targets": list(targets), "sources": app.RUNS.value, "rates": rates}
    (out / "transfer.json").write_text(json.dumps(found, indent=2) + "\n")
    print(tables.as_text(table))
    pipeline.say(f"report      {out}/transfer.md, transfer.json")


def rate(target: str, source: dict, folder: pathlib.Path) -> float:
    """The share of one run's successes that move one classifier.

    Raises:
        ValueError: the classifier lacks the stage that was attacked, or its classes are
            others.
    """
    classifier = checkpoint.load(target)
    at = source["settings"]["perturbation_enters_at"]
    logits_fn = classifier.logits_fn(at)
    rows = attack_rows.read(folder)
    origin = source["environment"]["records_folder"]
    if tuple(records.info(origin).labels) != classifier.labels:
        raise ValueError(f"{target} knows other classes than the examples of {folder}")
    test = records.read(origin, "test")
    count = int(source["settings"]["num_points"])
    spread = pipeline.spread(len(test), count)
    place = {test[int(index)]["id"]: number for number, index in enumerate(spread)}
    stored = examples(folder, place)
    stage = classifier.representation.stage(at)
    clean = np.stack(
        [evaluation.stage_features(stage, test[int(idx)]["audio"]) for idx in rows.idx]
    )
    attacked = np.stack([stored[id] for id in rows.id])
    answers = [
        evaluation.logits_of_batch(logits_fn, x).argmax(axis=1)
        for x in (clean, attacked)
    ]
    targeted = source["settings"]["target"] is not None
    return transfer_rate(rows.success, *answers, rows.target if targeted else None)


if __name__ == "__main__":
    app.run(main)
