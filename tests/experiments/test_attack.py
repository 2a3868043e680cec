"""The whole command, from synthetic speakers to the table of attacks."""

import json
import shutil

import numpy as np
import pytest
from absl.testing import flagsaver
from scipy.io import wavfile

from advjax import checkpoint, evaluation
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from advjax.signal.samples import from_int16, to_int16
from experiments import attack, report, transfer
from experiments.lab import attack_report, wav_pairs
from experiments.lab.adversarial_examples import EXAMPLES_FILE
from experiments.lab.task import Task

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "tiny",
    "num_steps": 30,
    "batch_size": 16,
    "num_points": 4,
    "rep": "waveform",
    "compile_cache": False,
    "attack": ["pgd(num_steps=3)", "noise(num_draws=2)"],
    "budget": ["20dB"],
    "save_audio": True,
    "audible": True,
}


pytestmark = pytest.mark.usefixtures("need_array_record", "tiny_network")


@pytest.fixture(scope="module")
def home(new_home):
    """A home in which two attacks have been run."""
    home = new_home("records")
    with flagsaver.flagsaver(home=str(home), **SMALL):
        attack.main()
    return home


def run_folders(home):
    """Those with rows: a refused request leaves a run without any."""
    found = sorted(path for path in (home / "attack").iterdir() if path.is_dir())
    return [folder for folder in found if len(ATTACK_ROWS.read(folder).id)]


def test_without_a_defence_one_plain_network_is_trained_for_every_stage(home):
    (folder,) = (home / "classifiers").iterdir()
    assert "plain@mfbe" in folder.name

    def folder_of(defence, at):
        task = Task(home=home, corpus=SMALL["corpus"], defence=defence, at=at)
        draft = task.draft()
        return draft.training(draft.source.resolve(), draft.noise).folder

    folders = {
        (defence, at): folder_of(defence, at)
        for defence in ("plain", "gaussian")
        for at in ("waveform", "mfbe")
    }
    assert folders["plain", "waveform"] == folders["plain", "mfbe"]
    assert folders["gaussian", "waveform"] != folders["gaussian", "mfbe"]


def test_every_run_has_rows_and_its_examples(home):
    noise, pgd = run_folders(home)
    for folder, name in ((noise, "noise"), (pgd, "pgd")):
        rows = ATTACK_ROWS.read(folder)
        stored = np.load(folder / EXAMPLES_FILE)
        assert len(rows.id) == 4 and stored.shape == (4, 25_800)
        assert np.abs(stored).max() <= 1.0
        assert (rows.snr_db >= 20 - 1e-3).all()
        settings = json.loads((folder / "run.json").read_text())["settings"]
        assert settings["attack"]["name"] == name
        assert settings["perturbation_enters_at"] == "waveform"
    (report,) = (home / "comparisons").glob("comparison-*/report.md")
    assert "| noise at waveform" in report.read_text()


def test_what_is_added_is_held_against_the_masking_threshold(home):
    heard = 0
    for folder in run_folders(home):
        rows = ATTACK_ROWS.read(folder)
        lines = (folder / "audible.tsv").read_text().splitlines()[1:]
        assert len(lines) == (rows.success & (rows.clean == rows.label)).sum()
        for line in lines:
            id, snr_db, excess, share, fools = line.split("\t")
            assert fools == "1"  # at the waveform what is heard is what was judged
            # 20 dB of noise over a whole clip of speech is heard in its pauses.
            assert float(excess) > 0 and 0 < float(share) <= 1
            assert float(snr_db) == pytest.approx(
                rows.snr_db[rows.id.index(id)], abs=0.02
            )
            heard += 1
    assert heard


def test_wavs_are_judged_as_they_were_written(home):
    told = 0
    (classifier,) = (home / "classifiers").iterdir()
    logits_fn = checkpoint.load(classifier).logits_fn("waveform")
    for folder in run_folders(home):
        rows = ATTACK_ROWS.read(folder)
        # Rows are judged by the same samples, without a file.
        x_adv = np.load(folder / EXAMPLES_FILE)
        files = from_int16(to_int16(x_adv))
        after = evaluation.logits_of_batch(logits_fn, files).argmax(axis=1)
        holds = rows.success & (after != rows.label)
        np.testing.assert_array_equal(rows.success_pcm16, holds)
        pairs = wav_pairs.read(folder / wav_pairs.EXAMPLES_FILE)
        assert len(pairs) == min(3, (rows.success & (rows.clean == rows.label)).sum())
        for pair in pairs:
            paths = [
                folder / pair.file.replace("_adversarial", kind)
                for kind in ("_clean", "_adversarial")
            ]
            x = np.stack([wavfile.read(path)[1] / np.float32(32768) for path in paths])
            logits = evaluation.logits_of_batch(logits_fn, x, batch_size=2)
            before, after = logits.argmax(axis=1)
            label = rows.label[rows.id.index(pair.id)]
            assert pair.fools == ("yes" if before == label != after else "no")
            assert pair.file == f"{pair.id}_{pair.label}_adversarial.wav"
            told += 1
    assert told
    (report,) = (home / "comparisons").glob("comparison-*/report.md")
    text = report.read_text()
    assert text.count("## WAVs of ") > 0
    assert "| WAVs that still fool |" in text


def test_the_same_command_attacks_nothing_again(home, capsys):
    before = [(f / "rows.tsv").read_bytes() for f in run_folders(home)]
    with flagsaver.flagsaver(home=str(home), **SMALL):
        attack.main()
    assert capsys.readouterr().err.count("All 4 clips were attacked before.") == 2
    assert [(f / "rows.tsv").read_bytes() for f in run_folders(home)] == before


def test_a_run_cut_in_the_middle_ends_with_the_same_rows(home, tmp_path):
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    folder = run_folders(copy)[1]
    whole = ATTACK_ROWS.read(folder)
    examples = np.load(folder / EXAMPLES_FILE)
    rows = (folder / "rows.tsv").read_bytes()
    (folder / "rows.tsv").write_bytes(rows[: len(rows) // 2])
    with flagsaver.flagsaver(home=str(copy), **SMALL):
        attack.main()
    again = ATTACK_ROWS.read(folder)
    order, wanted_order = np.argsort(again.idx), np.argsort(whole.idx)
    for name in AttackRow._fields:
        if name not in ("time", "id"):
            # The last bits depend on an example's place in its batch.
            np.testing.assert_allclose(
                getattr(again, name)[order],
                getattr(whole, name)[wanted_order],
                rtol=1e-5,
            )
    np.testing.assert_allclose(np.load(folder / EXAMPLES_FILE), examples, atol=1e-6)


def test_report_draws_accuracy_over_budget_and_over_the_smallest_distance(
    home, tmp_path, capsys
):
    noise, pgd = run_folders(home)
    folders = [str(noise), str(pgd)]
    # The same attack at another budget, and one that looks for the smallest.
    for name, change in (
        ("louder", {"budget": "10dB"}),
        ("smallest", {"budget": None, "norm": "l2"}),
    ):
        shutil.copytree(pgd, tmp_path / name)
        written = json.loads((tmp_path / name / "run.json").read_text())
        written["settings"] |= change
        (tmp_path / name / "run.json").write_text(json.dumps(written))
        folders.append(str(tmp_path / name))
    curves = attack_report.curves(folders)
    assert sorted(curves) == [("waveform", "dB"), ("waveform", "l2")]
    by_name = {curve.label: curve for curve in curves["waveform", "dB"]}
    np.testing.assert_array_equal(by_name["noise at waveform, plain"].size, [20])
    np.testing.assert_array_equal(by_name["pgd at waveform, plain"].size, [10, 20])
    (smallest,) = curves["waveform", "l2"]
    rows = ATTACK_ROWS.read(pgd)
    correct = rows.clean == rows.label
    assert smallest.stepped and smallest.size[0] == 0
    assert smallest.accuracy[0] == correct.mean()
    assert smallest.accuracy[-1] == (correct & ~rows.success).mean()

    with flagsaver.flagsaver(runs=folders, out=str(tmp_path / "r")):
        report.main()
    assert capsys.readouterr().out.count("at waveform, plain") == 4
    text = (tmp_path / "r" / "report.md").read_text()
    for unit in ("dB", "l2"):
        assert f"(accuracy_waveform_{unit}.png)" in text
        assert (tmp_path / "r" / f"accuracy_waveform_{unit}.png").stat().st_size > 5000


def test_a_report_of_attacks_and_certificates_is_refused(home, tmp_path):
    noise, pgd = run_folders(home)
    shutil.copytree(pgd, tmp_path / "other")
    written = json.loads((pgd / "run.json").read_text())
    del written["settings"]["attack"]
    (tmp_path / "other" / "run.json").write_text(json.dumps(written))
    with (
        flagsaver.flagsaver(runs=[str(noise), str(tmp_path / "other")]),
        pytest.raises(ValueError, match="not of both"),
    ):
        report.main()


def test_transfer_to_itself_is_complete(home, tmp_path, capsys):
    folders = [str(folder) for folder in run_folders(home)]
    with flagsaver.flagsaver(home=str(home), runs=folders, out=str(tmp_path / "t")):
        transfer.main()
    found = json.loads((tmp_path / "t" / "transfer.json").read_text())
    assert len(found["targets"]) == 1
    for rate, folder in zip(found["rates"][0], folders, strict=True):
        rows = ATTACK_ROWS.read(folder)
        won = rows.success & (rows.clean == rows.label)
        assert rate == (1.0 if won.any() else None)
    assert any(found["rates"][0])
    assert found["moved"] == found["of"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"budget": []}, "keeps within a budget"),
        ({"budget": ["loud"]}, "20dB for a signal-to-noise ratio"),
        ({"budget": ["30"]}, "--budget=30 .*30dB for"),
        ({"attack": ["deepfool"]}, "leave --budget out"),
        ({"attack": ["pdg"]}, "Did you mean 'pgd'"),
        ({"rep": "mel"}, "the stages are"),
        ({"attack": ["imperceptible"], "rep": "mfbe"}, "give --rep=waveform"),
        ({"finish": "pcm16", "rep": "mfbe"}, "--finish=pcm16 needs a perturbed wave"),
        (
            {"attack": ["pgd(targeted=True)"], "target": ["Anna"]},
            "--target=Anna: no such",
        ),
        ({"attack": ["pgd(bounds=(-0.001, 0.001))"]}, "outside the attack's bounds"),
        ({"precision": "tf32"}, "needs an NVIDIA GPU.*choose float32 or bfloat16"),
    ],
)
def test_a_wrong_request_says_what_to_do(home, changes, complaint):
    with (
        flagsaver.flagsaver(home=str(home), **(SMALL | changes)),
        pytest.raises(ValueError, match=complaint),
    ):
        attack.main()


def test_a_black_box_that_does_better_is_pointed_out(home, tmp_path):
    noise, pgd = (shutil.copytree(f, tmp_path / f.name) for f in run_folders(home))
    for folder, won in ((noise, "1"), (pgd, "0")):
        lines = (folder / "rows.tsv").read_text().splitlines()
        places = map(AttackRow._fields.index, ("label", "clean", "predict"))
        label, clean, predict = places
        rows = [line.split("\t") for line in lines[1:]]
        for row in rows:  # right before, and fooled or not
            row[label] = row[clean]
            row[predict] = str(int(row[clean]) + int(won))
            for name in ("success", "success_pcm16"):
                row[AttackRow._fields.index(name)] = won
            for name in ("gt", "new", "gt_new"):
                row[AttackRow._fields.index(name)] = "0.5"
        text = "\n".join([lines[0], *("\t".join(row) for row in rows)]) + "\n"
        (folder / "rows.tsv").write_text(text)
        settings = json.loads((folder / "run.json").read_text())
        settings["settings"]["norm"] = "linf"
        (folder / "run.json").write_text(json.dumps(settings))
    (warning,) = attack_report.masking_warnings([noise, pgd])
    assert "more than the white-box" in warning


def test_stages_without_a_greatest_value_are_attacked_in_a_precision(home, tmp_path):
    given = {"rep": "magnitude", "attack": ["fgsm"], "workdir": str(tmp_path / "run")}
    with flagsaver.flagsaver(home=str(home), **SMALL | given, precision="bfloat16"):
        attack.main()
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings["bounds"] == [0.0, None]
    assert settings["precision"] == "bfloat16"
    usual = [json.loads((f / "run.json").read_text()) for f in run_folders(home)]
    assert all("precision" not in each["settings"] for each in usual)
    assert len(ATTACK_ROWS.read(tmp_path / "run").id) == 4
    header = (tmp_path / "run" / "rows.tsv").read_text().partition("\n")[0]
    assert "pcm16" not in header  # no file holds a spectrogram


@pytest.mark.slow
def test_each_command_of_several_runs_has_a_report_of_its_own(home, capsys):
    before = {p: p.read_bytes() for p in (home / "comparisons").rglob("report.md")}
    more = {"attack": ["noise(num_draws=2)"], "budget": ["30dB", "10dB"]}
    with flagsaver.flagsaver(home=str(home), **(SMALL | more)):
        attack.main()
    after = set((home / "comparisons").rglob("report.md"))
    assert len(after) == len(before) + 1
    assert all(path.read_bytes() == text for path, text in before.items())
    (new,) = after - set(before)
    assert f"{new.parent}/report.md" in capsys.readouterr().err
