"""The study at its smallest size, on synthetic speakers."""

import pytest
from absl.testing import flagsaver

from experiments.lab import cell_files
from experiments.studies import certified_speakers

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "rescnn(width=1, embedding_size=8)",
    "num_steps": 20,
    "batch_size": 16,
    "num_points": 3,
    "votes": 100,
    "compile_cache": False,
}


pytestmark = pytest.mark.usefixtures("need_array_record")


@pytest.mark.slow
def test_certificates_accuracies_and_inputs(tmp_path, capsys):
    out = tmp_path / "out"
    given = SMALL | {"home": str(tmp_path / "home"), "out": str(out)}
    with flagsaver.flagsaver(**given, cells="mfbe/gaussian/0.5, inputs"):
        certified_speakers.main()
        output = capsys.readouterr()
        certified_speakers.main()
        again = capsys.readouterr()
    assert again.out == output.out == (out / "study.md").read_text()
    assert "0 of 2 cells to run" in again.err and "training" not in again.err
    for line in ("| σ = 0.5 | 3 |", "| mfbe | gaussian | 0.5 |", "| certified, σ = 0."):
        assert line in output.out
    assert (out / "mfbe.png").exists() and (out / "noisy_inputs.png").exists()
    results = cell_files.results(out / "cells/mfbe/gaussian/0.5")
    assert results["clean"]["total"] == 40


def test_a_pattern_without_cells_is_refused(tmp_path):
    with (
        flagsaver.flagsaver(**SMALL, home=str(tmp_path), cells="mfbe/0.5"),
        pytest.raises(ValueError, match=r"called like mfbe/gaussian/0\.5"),
    ):
        certified_speakers.main()


def test_a_dry_run_lists_all_cells_and_makes_nothing(tmp_path, capsys):
    with flagsaver.flagsaver(**SMALL, home=str(tmp_path), dry_run=True):
        certified_speakers.main()
    output = capsys.readouterr().out
    assert "waveform/plain/0.01" in output and "31 of 31 cells to run" in output
    assert not any(tmp_path.iterdir())
