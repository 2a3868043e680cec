"""The caveat of a corpus stands in its records, and in reports of runs on them."""

import statistics

import numpy as np
import pytest

from advjax import records
from advjax.representations import Waveform
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS, CERTIFICATES, AttackRow, CertificateRow
from data_prep.corpora.librispeech import SAME_SESSION
from experiments.lab import attack_report, caveats, certify_report

CAVEAT = "all clips were recorded in one room"


def make_records(folder, name, metadata):
    example = {
        "id": "a",
        "audio": np.zeros(16, np.int16),
        "features": np.zeros(16, np.float32),
        "label": 0,
        "speaker": "",
    }
    records.write(
        folder,
        {"test": [example]},
        name=name,
        representation=Waveform(num_samples=16),
        labels=("x", "y"),
        metadata=metadata,
        file_format="npz",
    )
    return folder


def test_records_carry_the_caveat_of_their_corpus(tmp_path):
    of_rooms = make_records(tmp_path / "rooms", "rooms", {"caveat": CAVEAT})
    assert caveats.environment(of_rooms) == {"caveat": CAVEAT}
    without = make_records(tmp_path / "noise", "noise", {})
    assert caveats.environment(without) == {}
    # Built before metadata had caveats.
    old = make_records(tmp_path / "old", "librispeech", {})
    assert caveats.of_records(old) == SAME_SESSION


RADIUS = 0.25 * statistics.NormalDist().inv_cdf(0.9)
CERTIFIED = {
    "noise_enters_at": "waveform",
    "noise": {"law": "gaussian", "sigma": 0.25, "norm": "l2"},
    "defence": "gaussian(sigma=0.25)",
    "bound": "clopper_pearson",
    "cap": 1.0,
}
ATTACKED = {
    "perturbation_enters_at": "waveform",
    "attack": {"name": "pgd"},
    "norm": "l2",
    "budget": "30dB",
    "target": None,
    "black_box": False,
    "defence": "plain",
    "classifier": "c",
}
KINDS = {
    "certified": (
        certify_report,
        CERTIFIED,
        CERTIFICATES,
        CertificateRow(0, 1, 1, RADIUS, True, 0.1, "a", 0.9, 90, 100, 20.0),
    ),
    "attacked": (
        attack_report,
        ATTACKED,
        ATTACK_ROWS,
        AttackRow(
            0,
            1,
            1,
            -1,
            0,
            True,
            9,
            0.1,
            "a",
            0.1,
            20.0,
            0.1,
            0.1,
            3,
            0.9,
            0.8,
            0.1,
            0.0,
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("corpus", "environment", "told"),
    [
        ("rooms", {"caveat": CAVEAT}, CAVEAT),
        ("librispeech", {}, SAME_SESSION),
        ("voices", {}, None),
    ],
)
def test_reports_print_the_caveats_of_their_runs(
    tmp_path, kind, corpus, environment, told
):
    module, settings, schema, row = KINDS[kind]
    for name in ("one", "two"):
        with runs.open_run(
            tmp_path / name,
            settings={"corpus": corpus, "num_points": 1, **settings},
            environment=environment,
            schema=schema,
        ) as run:
            run.append(row)
    text = module.report([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    written = (tmp_path / "out" / "report.md").read_text()
    for found in (text, written):
        assert found.count("caveat") == (0 if told is None else 1)
        assert told is None or f"caveat: {told}" in found


def test_reports_of_attacks_say_how_many_recordings_the_points_are_cut_from(tmp_path):
    _, settings, schema, row = KINDS["attacked"]
    ids = ("dog/a@0", "dog/a@9", "owl/a@0")
    with runs.open_run(
        tmp_path / "run",
        settings={"corpus": "folder", "num_points": 3, **settings},
        environment={},
        schema=schema,
    ) as run:
        for number, id in enumerate(ids):
            run.append(row._replace(idx=number, id=id))
    text = attack_report.report([tmp_path / "run"], tmp_path / "out")
    assert "The 3 points are cut from 2 recordings." in text
    assert caveats.cut_from(["a", "b", "b@1"]) == "cut from 2 recordings"
