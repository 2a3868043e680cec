"""Every table below the committed results reads, and is written again as it stands."""

import pathlib

from advjax.runs.rows import Schema
from experiments.lab import cached_rows
from experiments.studies.adversarial_training import tables as adversarial_training
from experiments.studies.robust_svm import tables as robust_svm
from experiments.studies.sound_events import answers, features
from experiments.studies.speakers import heuristics

RESULTS = pathlib.Path(__file__).parents[2] / "experiments" / "results"
TABLES = {
    "needed.tsv": adversarial_training.NEEDED,
    "attacked.tsv": robust_svm.ATTACKED,
}
CACHED = {
    "features": features.Heard,
    "answers": answers.Answer,
    "heuristics": heuristics.Answer,
}


def test_all_committed_tables_read():
    counts = {"tables": 0, "cached": 0, "runs": 0}
    for file in sorted(RESULTS.rglob("*.tsv")):
        content = file.read_bytes()
        row_type = CACHED.get(file.parent.name) or CACHED.get(file.parents[1].name)
        if row_type is not None:
            rows = cached_rows.read(file, row_type)
            schema = Schema(row_type, "", quoted=True)
            content = content.partition(b"\n")[2]
            counts["cached"] += 1
        elif file.name in TABLES:
            schema = TABLES[file.name]
            rows = schema.parse(content, file)
            counts["tables"] += 1
        else:  # see the tests of rows
            assert (file.parent / "run.json").exists(), file
            counts["runs"] += 1
            continue
        assert len(rows) > 0 and schema.content(rows) == content, file
    # Studies add more runs.
    assert counts.pop("runs") >= 145
    assert counts == {"tables": 2, "cached": 16}
