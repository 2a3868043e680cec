"""Transfer of adversarial examples from the classifier of one run to another."""

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from advjax import evaluation, records
from advjax.metrics.robustness import attackable
from advjax.metrics.shares import Share
from advjax.metrics.transfer import transfer_share
from advjax.records import spread
from advjax.reports import tables
from advjax.reports.files import write_report
from advjax.reports.page import Heading
from advjax.representations import definition
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import classifiers, earlier_runs, origins
from experiments.lab.adversarial_examples import check_example, examples
from experiments.lab.run_labels import label_of


def report(
    folders: Sequence[pathlib.Path], classifiers: Sequence[str], out: pathlib.Path
) -> str:
    """The table as text; writes it and `transfer.json` into `out`.

    A row is a target: the classifier of a run, or one of `classifiers`. A column is a
    source: a run, whose examples the targets predict.
    """
    sources = [runs.description(folder) for folder in folders]
    pairs = list(zip(sources, folders, strict=True))
    own = [str(_folder_of(folder, "classifier")) for folder in folders]
    targets = list(dict.fromkeys([*own, *classifiers]))
    shares = [[share(target, *pair) for pair in pairs] for target in targets]
    names = [label_of(source["settings"]) for source in sources]
    table = tables.Table(
        ["target", *(str(n) for n in range(1, len(folders) + 1))],
        [
            [
                pathlib.Path(target).name,
                *(f"{tables.share_text(s)} {s.count}/{s.total}" for s in row),
            ]
            for target, row in zip(targets, shares, strict=True)
        ],
        [
            "columns: the runs the examples come from",
            *(f"{n}: {name}" for n, name in enumerate(names, start=1)),
            "k/n: n successes of the source on clips that the target classifies right "
            "(and, targeted, not as the class to reach), k of which change its "
            "prediction (targeted: to that class)",
            tables.INTERVAL_NOTE,
        ],
    )
    blocks = [Heading("Transfer", 1), table]
    write_report(out / "transfer.md", blocks, origin=origins.of_runs(folders))
    counted = {
        "targets": targets,
        "sources": [str(folder) for folder in folders],
        # JSON has no NaN.
        "rates": [[each.value if each.total else None for each in r] for r in shares],
        "moved": [[each.count for each in row] for row in shares],
        "of": [[each.total for each in row] for row in shares],
    }
    text = json.dumps(counted, indent=2) + "\n"
    (out / "transfer.json").write_text(text, encoding="utf-8")
    return tables.as_text(table)


def share(target: str, source: dict, folder: pathlib.Path) -> Share:
    """The successes of one run that move one classifier, out of those that could.

    Raises:
        ValueError: the classifier lacks the stage that was attacked, or its classes are
            others.
    """
    classifier, settings = classifiers.load(target), source["settings"]
    at = settings["perturbation_enters_at"]
    rows = ATTACK_ROWS.read(folder)
    origin = _folder_of(folder, "records")
    try:
        classifier = classifiers.with_labels(
            classifier, tuple(records.info(origin).labels)
        )
    except ValueError as error:
        raise ValueError(
            f"{target} knows other classes than the examples of {folder}: {error}"
        ) from error
    logits_fn = classifier.logits_fn(at)
    test = records.read(origin, "test")
    indices = spread(len(test), int(settings["num_points"]))
    place = {test[int(index)]["id"]: number for number, index in enumerate(indices)}
    stored = examples(folder, place)
    stage = classifier.representation.stage(at)
    clean = np.stack(
        [evaluation.stage_features(stage, test[int(idx)]["audio"]) for idx in rows.idx]
    )
    attacked = np.stack([stored[id] for id in rows.id])
    chain = json.loads(json.dumps(definition(classifier.representation)))
    if chain == settings["representation"]:
        for number in range(len(rows.id)):
            check_example(rows, number, clean[number], attacked[number], folder)
    before, after = (
        evaluation.logits_of_batch(logits_fn, x).argmax(axis=1)
        for x in (clean, attacked)
    )
    won = rows.success & attackable(rows.label, rows.clean, rows.target)
    return transfer_share(
        won, label=rows.label, clean=before, attacked=after, target=rows.target
    )


def _folder_of(run: pathlib.Path, what: str) -> pathlib.Path:
    """The folder of a run's classifier or records."""
    folder = earlier_runs.part(run, what)
    if folder is None:
        raise ValueError(
            f"{run}/run.json does not say where the {what} of the run is: give "
            "folders of experiments.attack"
        )
    return folder
