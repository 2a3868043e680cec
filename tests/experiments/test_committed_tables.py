"""Every table below the committed results reads, and is written again as it stands."""

import pathlib

from advjax.runs.rows import Schema
from experiments.lab import cached_rows
from experiments.studies import (
    adversarial_tables,
    robust_svm_report,
    sound_event_answers,
    sound_event_features,
    speaker_heuristics,
)

RESULTS = pathlib.Path(__file__).parents[2] / "experiments" / "results"
TABLES = {
    "needed.tsv": adversarial_tables.NEEDED,
    "attacked.tsv": robust_svm_report.ATTACKED,
}
CACHED = {
    "features": sound_event_features.Heard,
    "answers": sound_event_answers.Answer,
    "heuristics": speaker_heuristics.Answer,
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
    assert counts == {"tables": 2, "cached": 16, "runs": 109}
