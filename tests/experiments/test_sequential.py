"""The whole command with votes that stop early, at the smallest size."""

import json
import re

import numpy as np
import pytest
from absl.flags import FLAGS
from absl.testing import flagsaver
from scipy import stats

from advjax import smoothing
from advjax.runs.row_types import CERTIFICATES
from experiments import certify, flags
from experiments.lab import certify_report, vote_checkpoints

RADII = ["0.05", "0.2", "0.4", "3"]
SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "tiny",
    "num_steps": 30,
    "batch_size": 16,
    "num_selection": 10,
    "num_estimation": 400,
    "num_points": 6,
    "alpha": 0.01,
    "compile_cache": False,
    "bound": "sequential",
    "radii": RADII,
}


pytestmark = pytest.mark.usefixtures("need_array_record", "tiny_network")


@pytest.fixture(scope="module")
def home(new_home):
    """A home in which one run has been made."""
    home = new_home()
    with flagsaver.flagsaver(home=str(home), **SMALL):
        certify.main()
    return home


def run_folder(home):
    (folder,) = (home / "certify").iterdir()
    return folder


def test_rows_keep_their_votes_and_say_how_many_were_drawn(home):
    found = CERTIFICATES.read(run_folder(home))
    assert len(found) == 6
    assert len(set(found.n.tolist())) > 1
    assert found.n.max() <= 400
    assert (found.votes <= found.n).all()
    # The best look proves no less than the last one.
    last = [
        smoothing.Sequential.lower(int(votes), int(n), 0.01)
        for votes, n in zip(found.votes, found.n, strict=True)
    ]
    assert (found.p_lower >= last).all()
    noise = smoothing.gaussian(0.25)
    for radius, p_lower in zip(found.radius, found.p_lower, strict=True):
        assert radius == (noise.radius(float(p_lower)) if p_lower >= 0.5 else 0.0)


def test_run_json_and_report_say_what_was_asked_saved_and_lost(home):
    folder = run_folder(home)
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert settings["bound"] == "sequential"
    assert settings["radii"] == [float(radius) for radius in RADII]
    report = (folder / "report.md").read_text()
    found = CERTIFICATES.read(folder)
    ratio, with_selection = 400 / found.n.mean(), 410 / (10 + found.n.mean())
    assert f"{ratio:.1f} times fewer than n=400; {with_selection:.1f} times" in report
    # At alpha 0.01 and 400 votes: 0.01 ** (1 / 400) is 2.275 sigma.
    assert "instead of 0.5688" in report
    assert re.search(r"\|\s*3\s*\|\s*–\s*\|\s*–\s*\|", report)


def test_a_radius_that_only_a_fixed_number_reaches_is_named():
    noise, radii = smoothing.gaussian(1.0), (1.0, 3.19)
    settings = {"num_selection": 100, "num_estimation": 10_000, "alpha": 1e-3}
    plan = smoothing.VotePlan(**settings, bound=smoothing.Sequential(radii))
    needs = plan.bound.settings(noise, plan, smoothing.Placement())["needs"]
    table = certify_report.saved_votes(
        np.array([100, 300, 10_000]), settings | {"radii": radii, "needs": needs}
    )
    # Of 10,000: the smallest count whose exact interval reaches PhiInv(1) = 0.8413.
    count = stats.binom.isf(1e-3, 10_000, stats.norm.cdf(1.0)) + 1
    assert table.rows[0][:2] == ["1", f"{count:,.0f}"]
    # ln(0.001) / ln(0.8413) is 39.99.
    assert table.rows[0][3] == "40"
    assert table.rows[1][2] == "–" != table.rows[1][1]
    assert "2.9 times fewer than n=10,000; 2.8 times" in table.notes[2]
    assert (
        "instead of 3.199; asked radii that only a fixed n reaches: 3.19"
        in (table.notes[3])
    )


def test_points_cut_off_in_mid_count_end_as_those_that_were_not(
    home, tmp_path, monkeypatch
):
    monkeypatch.setattr(vote_checkpoints, "EVERY_S", 0.0)
    writer, counted = vote_checkpoints.writer, []

    def stop_at_the_tenth(folder, here):
        write = writer(folder, here)

        def note(id, tally):
            write(id, tally)
            if tally is not None:
                counted.append((id, tally))
            if len(counted) == 10:
                raise KeyboardInterrupt

        return note

    again = tmp_path / "again"
    options = {"home": str(home), "workdir": str(again), **SMALL}
    monkeypatch.setattr(vote_checkpoints, "writer", stop_at_the_tenth)
    with flagsaver.flagsaver(**options), pytest.raises(KeyboardInterrupt):
        certify.main()
    left = vote_checkpoints.read(again)
    assert len(left) > 1
    assert left.items() <= dict(counted).items()
    assert max(tally.num_estimation for tally in left.values()) > 0
    assert len(CERTIFICATES.read(again)) < 6
    monkeypatch.setattr(vote_checkpoints, "writer", writer)
    with flagsaver.flagsaver(**options):
        certify.main()
    assert not vote_checkpoints.read(again)
    expected, found = (
        CERTIFICATES.read(run_folder(home)),
        CERTIFICATES.read(again),
    )
    for column in ("id", "predict", "radius", "votes", "n", "p_lower"):
        before, after = getattr(expected, column), getattr(found, column)
        assert list(before) == list(after)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_estimation": 6, "alpha": 0.01}, "only abstain.*at least 8"),
        ({"profile": "trace"}, "leave out --bound=sequential"),
        ({"radii": ["0.1"]}, "radii"),
        ({"bound": "clopper_pearson"}, "bound"),
    ],
)
def test_wrong_input_says_what_to_do(home, given, message):
    options = {"home": str(home), "workdir": str(run_folder(home)), **SMALL}
    with (
        flagsaver.flagsaver(**options | given),
        pytest.raises(ValueError, match=message),
    ):
        certify.main()


def test_the_flag_offers_the_bounds_there_are():
    assert flags.BOUND.default in smoothing.BOUNDS
    assert FLAGS["bound"].parser.enum_values == list(smoothing.BOUNDS)
