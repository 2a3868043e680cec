import pathlib

import numpy as np
import pytest

from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from experiments.lab.claims import Verdict
from experiments.studies.sound_events import tables
from experiments.studies.sound_events.answers import CLEAN, UNCHANGED, Answer
from experiments.studies.sound_events.claims import claimed
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.finished import Report
from experiments.studies.sound_events.systems import Known

CLIPS = [f"clip{n}" for n in range(12)]
TITLES = {
    **{"noise": "noise", "fgsm": "FGSM", "deepfool": "DeepFool"},
    **{"carlini_wagner": "C&W", "lbfgs_targeted": "L-BFGS"},
    "carlini_wagner_targeted": "C&W targeted",
}
NETWORKS = ("vgg13", "dense_wav")
ORDER, IN_EACH, SUCCESS, MEL, WAVES, TARGETS, TRANSFER, *NEAR = range(9)


def run_of(network, attack, wins, snr_db):
    """A run on all clips, of which the first few succeed."""
    rows = []
    for number, clip in enumerate(CLIPS):
        fields = dict.fromkeys(AttackRow._fields, 0.0)
        fields |= {"id": clip, "target": -1, "label": number % 3, "clean": number % 3}
        fields |= {"success": number < wins, "predict": (number + 1) % 3}
        rows.append(AttackRow(**fields | {"snr_db": snr_db + number / 10}))
    folder = pathlib.Path(network) / attack
    return ClipRun(
        folder, ATTACK_ROWS.rows(rows), {"leaves": "label", "attack": attack}
    )


def report(wins, *, snr_db=50.0, waves_db=40.0, answers=None):
    """A report of two networks; each attack fools as many clips of each."""
    runs = {
        (network, attack): run_of(
            network, attack, count, waves_db if network == "dense_wav" else snr_db
        )
        for network in NETWORKS
        for attack, count in wins.items()
    }
    known = [Known("train", c, c, n % 3, n % 3) for n, c in enumerate(CLIPS)]
    distances = np.array([[0.0, 1, 9], [1, 0, 2], [9, 2, 0]])
    return Report(
        pathlib.Path("out"),
        TITLES,
        runs,
        {},
        answers or {},
        {"vgg13": known},
        distances,
    )


AS_PUBLISHED = {"noise": 0, "fgsm": 6, "deepfool": 12, "carlini_wagner": 12}


def verdicts(made):
    return [claim.verdict for claim in claimed(made)]


def test_the_order_holds_where_every_attack_is_clearly_above_the_one_before():
    found = verdicts(report(AS_PUBLISHED))
    assert found[ORDER] == found[IN_EACH] == Verdict.HOLDS
    assert found[MEL] == found[WAVES] == Verdict.HOLDS
    assert found[TARGETS] == found[TRANSFER] == Verdict.UNTESTED
    # Twelve clips that all succeed do not show 95 %.
    assert found[SUCCESS] == Verdict.UNDECIDED


def test_a_wrong_order_and_quiet_waves_are_told():
    wrong = AS_PUBLISHED | {"noise": 12, "deepfool": 1}
    found = verdicts(report(wrong, snr_db=30.0, waves_db=35.0))
    assert found[ORDER] == found[IN_EACH] == found[SUCCESS] == Verdict.FAILS
    assert found[MEL] == found[WAVES] == Verdict.FAILS


def answers_of(moved):
    """Each network's predictions on clips, and on the other's examples."""
    found = {}
    for judge, source in (NETWORKS, NETWORKS[::-1]):
        rows = [Answer(CLEAN, CLEAN, UNCHANGED, c, n % 3) for n, c in enumerate(CLIPS)]
        rows += [
            Answer(source, "deepfool", UNCHANGED, c, (n + (n < moved)) % 3)
            for n, c in enumerate(CLIPS)
        ]
        found[judge] = rows
    return found


@pytest.mark.parametrize(("moved", "verdict"), [(0, "holds"), (12, "does not")])
def test_transfer_is_compared_with_the_publications_most(moved, verdict):
    made = report(AS_PUBLISHED, answers=answers_of(moved))
    assert verdicts(made)[TRANSFER].value == verdict


def test_rates_of_the_tables_have_intervals_over_recordings():
    made = report(AS_PUBLISHED)
    # One recording of all clips: their share says nothing about another one.
    one = [row._replace(recording="all") for row in made.known["vgg13"]]
    single = made._replace(known={"vgg13": one})
    rows = {row[0]: row for row in tables.means_table(made).rows}
    assert rows["FGSM"][1:3] == ["24", "50.0 [25, 75]"]  # not [30, 70], of 24 clips
    rows = {row[0]: row for row in tables.means_table(single).rows}
    assert rows["FGSM"][2] == "50.0 [0, 100]"
