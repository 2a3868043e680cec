"""The study at its smallest size, on synthetic speakers."""

import pytest
from absl.testing import flagsaver

from experiments.lab import cell_files
from experiments.studies import certified_speakers
from experiments.studies.speakers import certified_sizes

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
    for line in (
        *("| 0.5 | ours, gaussian | 3 |", "| ours, mfbe, gaussian: under noise |"),
        *("| certified, σ = 0.", "| without certificates | 1 |"),
    ):
        assert line in output.out
    assert (out / "mfbe_probabilities.png").exists()
    assert (out / "mfbe.png").exists() and (out / "noisy_inputs_2.png").exists()
    results = cell_files.results(out / "cells/mfbe/gaussian/0.5")
    assert results["clean"]["total"] == 60


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
    assert "waveform/plain/0.01" in output and "45 of 45 cells to run" in output
    assert not any(tmp_path.iterdir())


def test_only_librispeech_is_split_by_chapter():
    assert certified_sizes.by_chapter("voices") is None
    assert certified_sizes.by_chapter("librispeech(split='enrolment')") is None
    assert certified_sizes.by_chapter("librispeech") == "librispeech(split='chapter')"
    spelled = certified_sizes.by_chapter("librispeech(speakers=(118, 163))")
    assert spelled == "librispeech(speakers=(118, 163), split='chapter')"


def test_cells_of_inputs_are_evaluated_by_an_engine_with_gradients(tmp_path):
    given = {"home": str(tmp_path), "engine": "openvino", "precision": "bfloat16"}
    with flagsaver.flagsaver(**given):
        size = certified_sizes.sized(certified_sizes.PRESETS["small"])
    engines = {
        cell.path: certified_speakers.task(cell, size).engine
        for cell in certified_speakers.cells(size)
    }
    of_inputs = {path for path, engine in engines.items() if engine == "jax"}
    assert of_inputs == {path for path in engines if path.startswith("inputs")}


def test_cells_of_one_network_differ_in_what_their_name_says(tmp_path):
    given = {
        "corpus": "librispeech",
        "corpus_dir": str(tmp_path),
        "home": str(tmp_path),
    }
    with flagsaver.flagsaver(**given, num_points=7):
        size = certified_sizes.sized(certified_sizes.PRESETS["small"])
    cells = {cell.path: cell for cell in certified_speakers.cells(size)}
    own = certified_speakers.task(cells["mfbe/gaussian/0.5"], size)

    def changes(path):
        task = certified_speakers.task(cells[path], size)
        return {n: v for n, v in vars(task).items() if v != vars(own)[n]}

    assert changes("fixed/mfbe/gaussian/0.5") == changes("many/mfbe/gaussian/0.5") == {}
    assert changes("seed2/mfbe/gaussian/0.5") == {"seed": own.seed + 2}
    assert changes("chapter/mfbe/gaussian/0.5") == {"corpus": size.by_chapter}
    assert own.recipe.num_steps == 900
    waveform = changes("waveform/gaussian/0.05")
    assert waveform["recipe"].num_steps == 1_500

    def certificates(path):
        step = certified_speakers.work(cells[path], size)["certificates"]
        return step.request, step.num_points

    request, num_points = certificates("mfbe/gaussian/0.5")
    assert (request.bound, request.num_estimation, num_points) == (
        "sequential",
        10_000,
        7,
    )
    assert certificates("fixed/mfbe/gaussian/0.5") == (
        request._replace(bound="clopper_pearson"),
        7,
    )
    many, _ = certificates("many/mfbe/gaussian/0.5")
    assert (many.bound, many.num_estimation) == ("clopper_pearson", 100_000)
    wave, _ = certificates("waveform/gaussian/0.05")
    assert {0.025, 0.05, 0.075, 1.5} <= set(wave.radii)
