import csv

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.representations import Magnitude
from advjax.representations.lipschitz import lipschitz_bound
from advjax.runs.row_types import AudibilityRow
from experiments import audibility
from experiments.lab import audibility_report

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "tiny",
    "rep": "magnitude",
    "num_steps": 30,
    "batch_size": 16,
    "num_selection": 10,
    "num_estimation": 40,
    "num_points": 4,
    "alpha": 0.01,
    "compile_cache": False,
}


pytestmark = pytest.mark.usefixtures("need_array_record", "tiny_network")


def test_a_stage_without_a_bound_is_refused_with_the_reason(tmp_path):
    with (
        flagsaver.flagsaver(home=str(tmp_path), **SMALL | {"rep": "mfbe"}),
        pytest.raises(ValueError, match="--rep=mfbe: .*Give --rep=magnitude or"),
    ):
        audibility.main()
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_every_certified_clip_has_its_radius_at_the_waveform_and_the_ears(
    new_home, capsys
):
    home = new_home()
    with flagsaver.flagsaver(home=str(home), **SMALL):
        audibility.main()
    (folder,) = (home / "certify").iterdir()
    lines = (folder / "audibility.tsv").read_text().splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    assert len(rows) == 4
    for row in rows:
        radius, wave = float(row["radius"]), float(row["radius_wave"])
        assert wave == pytest.approx(radius / lipschitz_bound(Magnitude()), rel=1e-4)
        audible = float(row["smallest_audible"])
        assert 0 < audible < 1 and np.isfinite(float(row["smallest_audible_snr_db"]))
        assert row["audible_inside"] == str(int(wave > audible))
    heard = sum(int(row["audible_inside"]) for row in rows)
    said = f"In {heard} of 4 clips a perturbation inside the certified radius"
    assert said in capsys.readouterr().out
    report = (folder / "audibility" / "report.md").read_text()
    assert said in report and "| classifier's digest |" in report
    assert ("(audible.png)" in report) == any(float(r["radius"]) > 0 for r in rows)


def test_the_conclusion_counts_clips_and_compares_with_the_threshold():
    row = AudibilityRow("a", 1.0, 0.1, 20.0, 1.0, 0.0, False)
    rows = [row, row, row._replace(radius_wave=2.0, audible_inside=True)]
    rows.append(row._replace(radius=0.0, radius_wave=0.0))
    said = audibility_report.conclusion(rows)
    assert said.startswith("In 1 of 4 clips a perturbation inside the certified")
    assert "20.0 dB below" in said and "3 clips have a radius" in said
    assert "No clip has" in audibility_report.conclusion(rows[3:])
