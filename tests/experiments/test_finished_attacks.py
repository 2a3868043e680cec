"""Attacks on real speech whose successes are made to hold in files."""

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax import checkpoint, evaluation
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments import attack
from experiments.lab.adversarial_examples import EXAMPLES_FILE
from experiments.lab.audio import read_wav, write_wav

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("need_array_record", "tiny_network"),
]


def files_of(folder, path):
    """The adversarial examples of a run after writing and reading WAVs."""
    found = []
    for number, wave in enumerate(np.load(folder / EXAMPLES_FILE)):
        write_wav(path / f"{number}.wav", wave, 16_000)
        found.append(read_wav(path / f"{number}.wav"))
    return np.stack(found)


def test_every_finished_success_holds_in_its_wav(new_home, advjax_data, tmp_path):
    home = new_home("records")
    given = {
        "home": str(home),
        "corpus": "free_spoken_digits",
        "corpus_dir": str(advjax_data / "free-spoken-digit-dataset"),
        "model": "tiny", "num_steps": 60, "batch_size": 16, "num_points": 30,
        "rep": "waveform", "compile_cache": False, "budget": ["60dB"],
        "attack": ["deepfool", "deepfool(norm='linf')", "pgd", "pgd(norm='l2')"],
        "examples": 0,
    }  # fmt: skip
    held = {}
    for finish in (None, "pcm16"):
        with flagsaver.flagsaver(**given, finish=finish):
            attack.main()
    (classifier,) = (home / "classifiers").iterdir()
    logits_fn = checkpoint.load(classifier).logits_fn("waveform")
    for folder in sorted(path for path in (home / "attack").iterdir() if path.is_dir()):
        if not (folder / "run.json").exists():
            continue
        rows = ATTACK_ROWS.read(folder)
        files = files_of(folder, tmp_path / folder.name)
        after = evaluation.logits_of_batch(logits_fn, files).argmax(axis=1)
        fools = after != rows.label
        finished = "finish" in runs.description(folder)["settings"]
        won, kept = held.setdefault(finished, [0, 0])
        counts = rows.success & (rows.clean == rows.label)
        held[finished] = [won + counts.sum(), kept + (counts & fools).sum()]
        np.testing.assert_array_equal(rows.success_pcm16 == 1, rows.success & fools)
        if finished:
            np.testing.assert_array_equal(files, np.load(folder / EXAMPLES_FILE))
    assert held[True][0] == held[True][1] > 30
    # Without the search many successes are of the arrays alone.
    assert held[False][1] < 0.9 * held[False][0]
