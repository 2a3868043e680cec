import pytest
from absl.testing import flagsaver
from scipy import stats

from advjax.reports.tables import DASH
from experiments import radii as program
from experiments.lab import radii


def test_radii_by_the_probability_of_the_top_class():
    table = radii.probability_table(0.5, 0.001)
    assert table.header[1:3] == ["Neyman and Pearson", "Rényi, best order"]
    rows = {row[0]: row[1:] for row in table.rows}
    # 0.5 PhiInv(0.9), and the other two of the docstring of `f_divergence`.
    exact, renyi, share, kl, kl_share = map(float, rows["0.9"])
    assert exact == pytest.approx(0.5 * stats.norm.ppf(0.9), abs=1e-4)
    assert renyi == pytest.approx(0.5 * 1.032, abs=1e-3)
    assert kl == pytest.approx(0.5 * 1.011, abs=1e-3)
    assert share == pytest.approx(1.032 / 1.282, abs=0.006)
    assert kl_share == pytest.approx(1.011 / 1.282, abs=0.006)
    # A unanimous vote of 10,000, with the bound alpha^(1/n): 3.19858 sigma.
    assert rows["0.9993095, 10,000 of 10,000 votes"][0] == "1.599"


def test_votes_for_each_radius_and_none_beyond_reach():
    table = radii.vote_table(0.25, 0.001, (0.25, 0.5, 0.75, 1.3, 100.0))
    # See `num_for_radius`: 1, 2 and 3 sigma.
    assert [row[2] for row in table.rows] == ["40", "301", "5,114", DASH, DASH]
    assert [row[1] for row in table.rows][:2] == ["1.00", "2.00"]
    assert "0.7996 with 10,000" in table.notes[1]


@pytest.mark.parametrize(("sigma", "alpha"), [(0.0, 0.001), (-1.0, 0.001), (0.5, 1.0)])
def test_impossible_noise_and_alpha_are_refused(sigma, alpha, tmp_path):
    with pytest.raises(ValueError, match="give a"):
        radii.report(tmp_path / "out", sigma=sigma, alpha=alpha, radii=[0.5])
    assert not any(tmp_path.iterdir())


def test_the_program_writes_a_report_beside_its_tables(tmp_path, capsys):
    with flagsaver.flagsaver(sigma=0.5, radii=["0.5"], home=str(tmp_path)):
        program.main()
    captured = capsys.readouterr()
    out = tmp_path / "radii"
    assert f"{out}/report.md" in captured.err
    text = (out / "report.md").read_text()
    assert "| 0.5 | 1.00 | 40 |" in text and "(radii.png)" in text
    assert (out / "radii.png").stat().st_size > 10_000
    assert len(list((out / "tables").glob("*.csv"))) == 2
    assert "0.6408" in captured.out  # 0.5 PhiInv(0.9)
