"""Tables and warnings of attacks, from rows that are written here."""

import numpy as np
import pytest

from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from experiments.lab import attack_report

SETTINGS = {
    "attack": {"name": "pgd"},
    "perturbation_enters_at": "waveform",
    "defence": "plain",
    "classifier": "0" * 16,
    "norm": "linf",
    "budget": "30dB",
    "target": None,
    "black_box": False,
}


def write_run(folder, rows, **settings):
    """A run with these (label, clean, target, success, queries, zero gradient).

    Lists among the settings are columns that not every run has.
    """
    more = {name: value for name, value in settings.items() if isinstance(value, list)}
    settings = {name: settings[name] for name in settings if name not in more}
    with runs.open_run(
        folder,
        settings={**SETTINGS, **settings, "num_points": len(rows)},
        environment={},
        schema=ATTACK_ROWS,
    ) as run:
        for i, (label, clean, target, success, queries, zero) in enumerate(rows):
            fields = dict.fromkeys(AttackRow._fields, 0.0)
            fields |= {"idx": i, "id": f"clip{i}", "label": label, "clean": clean}
            fields |= {"target": target, "success": success, "queries": queries}
            reached = target if target >= 0 else label + 1
            fields |= {"predict": reached if success else clean, "budget": 10.0}
            size = 0.1 * (i + 1)
            fields |= {
                "l0": 1,
                "l2": size,
                "zero_gradient": zero,
                "snr_db": 30.0,
                "linf": size,
            }
            fields |= dict.fromkeys(("success_pcm16", "success_float32"), -1)
            fields |= {name: column[i] for name, column in more.items()}
            run.append(AttackRow(**fields))
    return folder


@pytest.fixture
def targeted(tmp_path):
    """To class 1: two right clips, one fooled; a mistake; three that are there."""
    rows = [
        (0, 0, 1, True, 10, 0.1),
        (2, 2, 1, False, 30, 0.1),
        (2, 0, 1, True, 1, 0.9),
        (2, 1, 1, True, 1, 0.9),
        (1, 1, 1, True, 1, 0.9),
        (1, 0, 1, True, 1, 0.9),
    ]
    return write_run(tmp_path / "targeted", rows, target="one", budget=None)


def test_clips_at_the_target_are_in_no_column(targeted):
    table = attack_report.attack_table([targeted])
    row = dict(zip(table.header, table.rows[0], strict=True))
    # Of the three off the target two are right, and one of these stays so.
    assert row["clean"].startswith("0.667 ") and row["attacked"].startswith("0.333 ")
    assert row["fooled"].startswith("0.500 ")
    assert row["queries"] == "20" and row["zero gradient"] == "0.10"
    assert row["size"] == "0.1 (linf)"
    assert any("3 of 6 points are in no" in note for note in table.notes)


def test_curves_and_warnings_count_the_same_clips(targeted):
    ((_, (curve,)),) = attack_report.curves([targeted]).items()
    np.testing.assert_allclose(curve.accuracy, [2 / 3, 1 / 3])
    # Gradients are zero where the goal is met already, and there alone.
    assert attack_report.masking_warnings([targeted]) == []


def test_a_run_without_any_clip_to_attack_has_no_rates(tmp_path):
    folder = write_run(tmp_path / "run", [(1, 1, 1, True, 1, 1.0)], target="one")
    table = attack_report.attack_table([folder])
    assert table.rows[0][3:] == ["–"] * 7
    assert attack_report.curves([folder]) == {}
    assert attack_report.masking_warnings([folder]) == []


def test_an_untargeted_attack_keeps_its_mistakes_in_the_accuracy(tmp_path):
    rows = [(0, 0, -1, True, 9, 0), (0, 0, -1, False, 9, 0), (0, 1, -1, True, 1, 0)]
    table = attack_report.attack_table([write_run(tmp_path / "run", rows)])
    clean, attacked, fooled = (cell.split()[0] for cell in table.rows[0][3:6])
    assert (clean, attacked, fooled) == ("0.667", "0.333", "0.500")
    assert not any("points are in no" in note for note in table.notes)


def test_the_accuracy_without_an_attack_is_drawn_beside_budgets_in_decibels(
    tmp_path, monkeypatch
):
    drawn = {}

    def draw(curves, path, **words):
        drawn[path.name] = curves
        path.touch()

    monkeypatch.setattr(attack_report.figures, "attacked_accuracy_plot", draw)
    rows = [(0, 0, -1, True, 9, 0), (0, 0, -1, False, 9, 0), (0, 1, -1, True, 1, 0)]
    names = ("30dB", "20dB", None)
    folders = [write_run(tmp_path / str(b), rows, budget=b) for b in names]
    attack_report.report(folders[:1], tmp_path / "out")
    assert drawn == {}  # a lone budget: one dot
    attack_report.report(folders, tmp_path / "out")
    attacked, clean = drawn["accuracy_waveform_dB.png"]
    assert attacked.label == "pgd at waveform, plain"
    assert clean.label == "without an attack, plain" and clean.stepped
    np.testing.assert_allclose(clean.size, [20, 30])
    np.testing.assert_allclose(clean.accuracy, [2 / 3, 2 / 3])
    (smallest,) = drawn["accuracy_waveform_linf.png"]
    np.testing.assert_allclose(smallest.accuracy, [2 / 3, 1 / 3])


def test_a_search_without_a_success_has_no_empty_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(
        attack_report.figures, "attacked_accuracy_plot", lambda *_, **__: 1 / 0
    )
    rows = [(0, 0, -1, False, 9, 0), (0, 1, -1, True, 1, 0)]
    folder = write_run(tmp_path / "run", rows, budget=None)
    assert "![" not in attack_report.report([folder], tmp_path)


def test_successes_in_files_have_a_column_unless_all_are_finished(tmp_path):
    rows = [(0, 0, -1, True, 10, 0.1)] * 2 + [(0, 0, -1, False, 10, 0.1)] * 2
    plain = write_run(tmp_path / "plain", rows, success_pcm16=[1, 0, 0, 0])
    finished = write_run(
        tmp_path / "finished", rows, finish="pcm16",
        success_pcm16=[1, 1, 0, 0], success_float32=[1, 1, 1, 0],
    )  # fmt: skip
    table = attack_report.attack_table([plain, finished])
    place = table.header.index("in a file")
    assert table.header[place - 1] == "fooled"
    assert [row[place][:5] for row in table.rows] == ["0.250", "0.500"]
    lost = "pgd (pcm16) at waveform, plain, 30dB: 1 of 3 successes hold in no file"
    assert any(note.startswith(lost) for note in table.notes)
    assert "in a file" not in attack_report.attack_table([finished]).header
