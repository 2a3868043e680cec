import csv

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.representations import Magnitude
from advjax.representations.lipschitz import lipschitz_bound
from experiments import audibility

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
        pytest.raises(ValueError, match="no radius at mfbe is one at the waveform"),
    ):
        audibility.main()
    assert not any(tmp_path.iterdir())


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
    assert f"{sum(float(r['radius']) > 0 for r in rows)} of 4 clips have a radius" in (
        capsys.readouterr().out
    )
