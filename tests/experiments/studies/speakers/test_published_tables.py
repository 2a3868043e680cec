"""Our certificates beside the publication's, on synthetic cells."""

import pytest

from advjax.reports.tables import DASH
from experiments.studies.speakers import (
    certified_cells,
    certified_report,
    comparison_tables,
    network_sizes,
    published,
    published_tables,
)
from tests.experiments.studies.speakers.made_cells import found, make_cell, step

ASKED = (0.01, 0.05, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
HALF = [0.6] * 6 + [None] * 6


def read(folder, *cells):
    return certified_cells.read(found(folder, *cells))


def by_row(table):
    """Rows by their sigma and network, each by header."""
    return {
        (row[0], row[1]): dict(zip(table.header, row, strict=True))
        for row in table.rows
    }


def test_every_published_entry_has_ours_below_it(tmp_path):
    made = [
        make_cell(tmp_path, stage, training, sigma, HALF, asked=ASKED)
        for stage in ("mfbe", "magnitude")
        for training in ("gaussian", "plain")
        for sigma in published.MFBE
    ]
    cells = read(tmp_path, *made)
    for stage in ("mfbe", "magnitude"):
        table = published_tables.stage_table(stage, cells)
        rows = by_row(table)
        for sigma, entries in published.CERTIFIED[stage].items():
            his = rows[f"{sigma:g}", published.NAME]
            for radius, value in zip(ASKED, entries, strict=True):
                assert float(his[f"r={radius:g}"]) == value
                for training in ("plain", "gaussian"):
                    ours = rows[f"{sigma:g}", f"ours, {training}"][f"r={radius:g}"]
                    assert (ours == DASH) == (value == 0)
        assert any("21 are zeros" in n and "dash at 21" in n for n in table.notes)
        assert table.header[-1] == "ACR"
        assert [row[1] for row in table.rows[:5]] == [
            published.NAME, "ours, plain", "at least", "ours, gaussian", "at least",
        ]  # fmt: skip


def test_an_entry_where_his_was_out_of_reach_is_counted(tmp_path):
    cell = make_cell(tmp_path, "mfbe", "plain", 0.25, HALF, cap=5, asked=ASKED)
    table = published_tables.stage_table("mfbe", read(tmp_path, cell))
    ours = by_row(table)["0.25", "ours, plain"]
    assert ours["r=1"].startswith("0.000 [") and ours["r=1.5"] == DASH
    assert any("3 are zeros" in n and "dash at 1 and an accuracy at 2" in n
               for n in table.notes)  # fmt: skip


def test_his_entries_in_and_outside_of_our_intervals_are_counted(tmp_path):
    # His are .91 .89 .80 .63 .36 up to 0.75; ours 1 up to 0.5, and 0.
    many = [0.6] * 60
    cell = make_cell(tmp_path, "mfbe", "plain", 0.25, many, cap=3.2, asked=ASKED)
    table = published_tables.stage_table("mfbe", read(tmp_path, cell))
    # 1.000 [0.83, 1.00] for 20 utterances
    (note,) = [note for note in table.notes if "in reach" in note]
    assert note == (
        "of his 5 entries in reach, our interval (plain) holds 2, lies above 2, lies "
        "below 1"
    )


def test_entries_bounds_and_means_of_one_cell(tmp_path):
    cell = make_cell(tmp_path, "mfbe", "gaussian", 0.5, HALF, asked=ASKED)
    table = published_tables.stage_table("mfbe", read(tmp_path, cell))
    # At sigma 0.5 he printed no zeros.
    assert not any("zeros" in note for note in table.notes)
    rows = by_row(table)
    ours = rows["0.5", "ours, gaussian"]
    # Two of four utterances, not six of twelve crops.
    assert ours["r=0.5"] == "0.500 [0.00, 1.00]" and ours["r=0.75"].startswith("0.000")
    assert (ours["crops"], ours["abstain"], ours["ACR"]) == ("12", "0.500", "0.3000")
    # 0.001 + sqrt(0.001 * 0.999 * ln(20) / 12) + ln(20) / 36
    assert rows["0.5", "at least"]["r=0.5"] == "0.400"
    assert rows["0.5", "at least"]["smoothed"] == "0.400"


def test_three_seeds_are_a_mean_and_a_row_each(tmp_path):
    other = [0.6] * 9 + [None] * 3
    made = [
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, HALF, asked=ASKED),
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, other, asked=ASKED, seed=1),
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, other, asked=ASKED, seed=2),
    ]
    cells = read(tmp_path, *made)
    table = published_tables.stage_table("mfbe", cells)
    assert by_row(table)["0.5", "ours, gaussian, 3 seeds"]["r=0.5"].startswith("0.667")
    assert any(note.startswith("seeds: ") for note in table.notes)
    seeds = published_tables.seeds_table(cells)
    shares = [(row[3], row[7].split()[0]) for row in seeds.rows]
    assert shares == [("0", "0.500"), ("1", "0.750"), ("2", "0.750"), ("mean", "0.667")]
    # One network has no such rows.
    assert not published_tables.seeds_table(cells[:1]).rows


def test_the_waveform_has_radii_of_its_own_and_those_in_reach(tmp_path):
    sigma, asked = 0.1, (0.05, 0.1, 0.15, 0.25)
    cell = make_cell(tmp_path, "waveform", "gaussian", sigma, [0.12] * 3, asked=asked)
    table = published_tables.stage_table("waveform", read(tmp_path, cell))
    (ours, _) = table.rows
    assert table.header[3:9] == [
        "r=0.5σ",
        "r=1σ",
        "r=1.5σ",
        "r=0.01",
        "r=0.05",
        "r=0.25",
    ]
    assert [text.split()[0] for text in ours[3:9]] == [
        # The votes may have stopped before they tested 0.01.
        *("1.000", "1.000", "0.000", "1.000*", "1.000", "0.000")
    ]
    assert any("results pending" in note for note in table.notes)
    assert published_tables.STAR_NOTE in table.notes


def test_chapters_have_rows_of_their_own(tmp_path):
    made = [
        make_cell(tmp_path, "mfbe", "plain", 0.5, HALF, asked=ASKED),
        make_cell(tmp_path, "mfbe", "plain", 0.5, HALF, asked=ASKED, split="chapter"),
    ]
    table = published_tables.stage_table("mfbe", read(tmp_path, *made))
    assert ("0.5", "ours, plain, by chapter") in by_row(table)
    assert [row[1] for row in table.rows].count(published.NAME) == 1


def test_missing_cells_are_missing_rows():
    assert not published_tables.stage_table("mfbe", []).rows
    assert not published_tables.seeds_table([]).rows
    assert not comparison_tables.noise_table([]).rows
    assert comparison_tables.cohen_tables([]) == {}


def test_images_of_cohen_beside_equal_sigmas(tmp_path):
    made = [
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, HALF, asked=ASKED),
        make_cell(tmp_path, "mfbe", "plain", 0.5, HALF, asked=ASKED),
        make_cell(
            tmp_path, "mfbe", "gaussian", 0.5, HALF[:3], check="many", n=100_000,
            cap=3.81, bound="clopper_pearson",
        ),
    ]  # fmt: skip
    every = comparison_tables.cohen_tables(read(tmp_path, *made))
    cifar, imagenet = every.values()
    names = [row[:3] for row in cifar.rows]
    at = names.index(["0.5", "CIFAR-10", "100,000"])
    assert names[at + 1 : at + 3] == [
        ["0.5", "ours, mfbe", "10,000"],
        ["0.5", "ours, mfbe, 3 crops", "100,000"],
    ]
    assert len(cifar.rows) == 4 + 2 and len(imagenet.rows) == 3 + 2
    ours = dict(zip(imagenet.header, imagenet.rows[2], strict=True))
    assert ours["r=0"].startswith("0.500") and ours["r=2"] == DASH


def accuracy(clean, noisy):
    shares = {"clean": clean, "noisy": noisy}
    result = {name: {"count": k, "total": 100} for name, k in shares.items()}
    return {"certificates": step(60.0), "accuracy": step(10.0, **result)}


def test_accuracy_under_noise_beside_both_publications(tmp_path):
    made = [
        make_cell(tmp_path, "waveform", "gaussian", 0.01, HALF, steps=accuracy(45, 90)),
        make_cell(tmp_path, "waveform", "plain", 0.01, HALF, steps=accuracy(97, 37)),
    ]
    table = comparison_tables.noise_table(read(tmp_path, *made))
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert len(rows) == 3 + 3
    assert rows["O'Reilly 2020, waveform"]["σ=0.01"] == "0.89"
    assert rows["Cohen et al. 2019, ImageNet"]["σ=1"] == "0.48"
    noisy = rows["ours, waveform, gaussian: under noise"]
    assert noisy["σ=0.01"].startswith("0.900 [") and noisy["no noise"] == DASH
    plain = rows["ours, waveform, plain: under noise"]
    assert plain["no noise"].startswith("0.970") and plain["σ=0.01"].startswith("0.370")


def test_our_network_in_the_comparison(tmp_path):
    cell = make_cell(tmp_path, "mfbe", "plain", 0.5, HALF, steps=accuracy(97, 76))
    (certified,) = read(tmp_path, cell)
    ours = network_sizes.our_network(certified, 0.97)
    assert ours.dimensions == (25_800, 41_120, 10_240)
    assert (ours.num_training, ours.num_test, ours.num_classes) == (3_000, 300, 10)
    # Width 64 has 24,177,418; most weights go with the square of the width.
    assert 24_177_418 / 80 < ours.num_parameters < 24_177_418 / 40
    table = comparison_tables.comparison_table([ours])
    assert len(table.rows) == 5
    assert table.rows[0][2] == "25,000 / 41,120 / 10,240"
    assert table.rows[-1][:3] == [
        "ours: librispeech, 10 speakers", "10", "25,800 / 41,120 / 10,240",
    ]  # fmt: skip


def test_distributions_come_first_and_acr_last(tmp_path):
    made = [
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, HALF, asked=ASKED),
        make_cell(tmp_path, "mfbe", "plain", 0.5, HALF, asked=ASKED),
    ]
    blocks = list(certified_report.report(found(tmp_path, *made)))
    assert blocks[1].text == "Distribution of the certified probability"
    assert "arXiv:2410.06895" in blocks[2]
    assert (tmp_path / "mfbe_probabilities.png").exists()
    assert (tmp_path / "mfbe.png").exists()
    (table,) = [b for b in blocks if getattr(b, "header", [""])[-1] == "ACR"]
    assert any("ACR" in note and "arXiv:2410.06895" in note for note in table.notes)
    assert not (tmp_path / "waveform.png").exists()


@pytest.mark.parametrize("training", ["plain", "gaussian"])
def test_a_curve_is_the_certified_accuracy_by_probability(tmp_path, training):
    from experiments.studies.speakers.probabilities import probability_curves

    made = make_cell(tmp_path, "mfbe", training, 0.5, HALF, asked=ASKED)
    (curve,) = probability_curves("mfbe", read(tmp_path, made))
    assert curve.label == f"σ = 0.5, {training} training"
    # Φ(0.6 / 0.5) and Φ(1.5 / 0.5)
    assert curve.p == pytest.approx([0.5, 0.88493, 0.88493, 0.99865], abs=1e-5)
    assert list(curve.share) == [0.5, 0.5, 0.0, 0.0]
