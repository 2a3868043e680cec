import numpy as np

from experiments.studies.speakers.maximum_radii import maximum_radius_table


def test_maximum_radii_with_the_publications_slips_corrected():
    table = maximum_radius_table()
    cells = np.array(table.rows)
    # The column for n = 10,000, as the formula has it.
    assert cells[:, 2].tolist() == [
        *("0.032", "0.160", "0.320", "0.800"),
        *("1.599*", "3.199*", "6.397*", "9.596*"),
    ]
    assert cells[:, 1].tolist() == [
        *("0.025", "0.123", "0.246", "0.616", "1.232", "2.463", "4.927*", "7.390")
    ]
    assert cells[-1, 3] == "11.434"
    notes = [note for note in table.notes if note.startswith("*")]
    assert len(notes) == sum(cell.endswith("*") for cell in cells.ravel()) == 5
    assert "* sigma 0.5, n 10,000: 1.599; the publication prints 1.160" in notes[0]


def test_at_another_alpha_nothing_is_compared_with_the_publication():
    table = maximum_radius_table(alpha=0.01)
    assert table.rows[4][2:] == ["1.657", "1.955"]
    assert len(table.notes) == 1
