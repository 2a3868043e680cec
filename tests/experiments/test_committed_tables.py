"""Every table below the committed results reads, and is written again as it stands."""

import json
import pathlib
import re
from collections.abc import Iterator

from advjax.runs.rows import Schema
from experiments.lab import cached_rows
from experiments.studies.adversarial_training import tables as adversarial_training
from experiments.studies.robust_svm import tables as robust_svm
from experiments.studies.sound_events import answers, features, systems
from experiments.studies.speakers import heuristics

RESULTS = pathlib.Path(__file__).parents[2] / "experiments" / "results"
TABLES = {
    "needed.tsv": adversarial_training.NEEDED,
    "predictions.tsv": adversarial_training.PREDICTED,
    "attacked.tsv": robust_svm.ATTACKED,
}
CACHED = {
    "features": features.Heard,
    "answers": answers.Answer,
    "heuristics": heuristics.Answer,
    systems.KNOWN_FILE: systems.Known,
}
"""By the name of the file, or of a folder that it is in."""


def test_all_committed_tables_read():
    counts = {"tables": 0, "cached": 0, "runs": 0}
    for file in sorted(RESULTS.rglob("*.tsv")):
        content = file.read_bytes()
        names = (file.name, file.parent.name, file.parents[1].name)
        row_type = next((CACHED[name] for name in names if name in CACHED), None)
        if row_type is not None:
            rows = cached_rows.read(file, row_type)
            schema = Schema(row_type, "", quoted=True)
            content = content.partition(b"\n")[2]
            counts["cached"] += 1
        elif file.name in TABLES:
            schema = TABLES[file.name].like(content)
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


WITHOUT_COMMIT = {
    # Its README says so; the machine is not at hand to run it again.
    "front_end_speed/front_end.json": "ba8945d-dirty",
}


def commits(content: object) -> Iterator[str]:
    """All values of `git` in the content of a JSON file."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from [value] if key == "git" else commits(value)
    elif isinstance(content, list):
        for each in content:
            yield from commits(each)


def test_every_committed_run_names_its_commit():
    named, without = 0, {}
    for file in sorted(RESULTS.rglob("*.json")):
        found = [*commits(json.loads(file.read_text(encoding="utf-8")))]
        assert found or file.name != "run.json", file
        named += len(found)
        for commit in found:
            if not re.fullmatch("[0-9a-f]{7,40}", commit):
                without[file.relative_to(RESULTS).as_posix()] = commit
    assert without == WITHOUT_COMMIT
    assert named >= 400
