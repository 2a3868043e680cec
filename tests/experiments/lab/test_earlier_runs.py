"""The task of an earlier run, and flags beside it."""

import json
import shutil

import pytest
from absl.testing import flagsaver

from advjax.runs import folder as runs
from experiments import attack, audibility, certify, flags, requests, smoothed_attacks
from experiments.lab import earlier_runs

CORPUS = "voices(num_speakers=2, minutes_per_speaker=0.5)"
CERTIFY = {
    "corpus": CORPUS,
    "model": "tiny",
    "rep": "magnitude",
    "sigma": 0.5,
    "num_steps": 30,
    "batch_size": 16,
    "num_selection": 10,
    "num_estimation": 40,
    "num_points": 4,
    "alpha": 0.01,
    "compile_cache": False,
}
ATTACK = {"attack": ["fgsm"], "budget": ["20dB"], "compile_cache": False}
SMOOTHED = {
    "eot_attack": ["pgd(norm='l2', num_steps=2, stop='last')"],
    "fractions": ["2"],
    "num_draws": 2,
    "num_votes": 40,
    "compile_cache": False,
}

pytestmark = pytest.mark.usefixtures("need_array_record", "tiny_network")


@pytest.fixture(scope="module")
def certified(new_home):
    """The run of a certification in a home of its own."""
    home = new_home()
    with flagsaver.flagsaver(home=str(home), **CERTIFY):
        certify.main()
    (folder,) = (home / "certify").iterdir()
    return folder


def settings_of(folder):
    return runs.description(folder)["settings"]


def test_an_attack_takes_classifier_records_and_stage_of_a_certificate(
    certified, capsys
):
    with flagsaver.flagsaver(run=str(certified), **ATTACK):
        attack.main()
    (folder,) = (certified.parents[1] / "attack").iterdir()
    before, after = settings_of(certified), settings_of(folder)
    for name in ("classifier", "records", "representation", "num_points", "defence"):
        assert after[name] == before[name]
    assert after["perturbation_enters_at"] == before["noise_enters_at"] == "magnitude"
    assert "(found): tiny, gaussian(sigma=0.5) at magnitude" in capsys.readouterr().err
    with flagsaver.flagsaver(run=str(folder), rep="waveform", num_points=2, **ATTACK):
        attack.main()
    found = map(settings_of, (certified.parents[1] / "attack").iterdir())
    (third,) = [each for each in found if each["num_points"] == 2]
    assert third["classifier"] == before["classifier"]
    assert third["perturbation_enters_at"] == "waveform"


def test_certificates_of_a_run_are_attacked_and_compared_as_they_are(certified, capsys):
    before = (certified / "rows.tsv").read_bytes()
    with flagsaver.flagsaver(run=str(certified), **SMOOTHED):
        smoothed_attacks.main()
    with flagsaver.flagsaver(run=str(certified), compile_cache=False):
        audibility.main()
    assert (certified / "rows.tsv").read_bytes() == before
    assert len(list(certified.glob("smoothed_attacks-*/report.md"))) == 1
    assert (certified / "audibility.tsv").exists()
    assert list((certified.parents[1] / "certify").iterdir()) == [certified]


def test_a_classifier_decides_the_stage_and_the_noise(certified):
    (folder,) = (certified.parents[1] / "classifiers").glob("*gaussian*magnitude*")
    with flagsaver.flagsaver(run=str(folder)):
        draft = requests.draft(to_certify=True)
    assert (draft.stage.name, draft.task.sigma) == ("magnitude", 0.5)
    assert draft.task.noise == "gaussian"
    assert draft.source.folder.name.startswith("voices")
    with flagsaver.flagsaver(run=str(folder), rep="waveform"):
        assert requests.draft(to_certify=True).task.sigma == flags.SIGMA.default


@pytest.mark.parametrize(
    "given",
    [
        {"sigma": 0.25},
        {"noise": "uniform"},
        {"records": "elsewhere"},
        {"classifier": "elsewhere"},
        {"defence": "plain"},
        {"model": "rescnn"},
        {"corpus": "librispeech"},
        {"num_steps": 7},
    ],
)
def test_a_flag_that_contradicts_a_run_is_named(certified, given):
    (name,) = given
    with (
        flagsaver.flagsaver(run=str(certified), **ATTACK, **given),
        pytest.raises(ValueError, match=f"--{name}.*--run={certified}.*leave --{name}"),
    ):
        attack.main()


@pytest.mark.parametrize("given", [{"rep": "waveform"}, {"num_points": 3}])
def test_certificates_that_are_there_leave_no_choice(certified, given):
    (name,) = given
    with (
        flagsaver.flagsaver(run=str(certified), **SMOOTHED, **given),
        pytest.raises(ValueError, match=f"--{name}=.*contradicts"),
    ):
        smoothed_attacks.main()


def test_flags_that_agree_with_a_run_are_taken(certified):
    same = {name: CERTIFY[name] for name in ("corpus", "model", "rep", "sigma")}
    with flagsaver.flagsaver(run=str(certified), defence="gaussian", **same):
        draft = requests.draft(to_certify=True)
    assert draft.given.digest() == settings_of(certified)["classifier"]


def test_a_folder_that_is_no_run_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with (
            flagsaver.flagsaver(run=str(folder), **ATTACK),
            pytest.raises(FileNotFoundError, match=f"--run={folder}"),
        ):
            attack.main()


def copy_with(folder, copy, change):
    """A copy of a run in which `change` has changed its description."""
    shutil.copytree(folder, copy)
    written = json.loads((copy / "run.json").read_text())
    change(written)
    (copy / "run.json").write_text(json.dumps(written))
    return earlier_runs.read(copy)


def test_a_run_without_its_classifier_asks_for_it_and_checks_it(certified, tmp_path):
    def forget(written):
        del written["environment"]["classifier_dir"]

    def change(written):
        written["settings"]["classifier"] = "0" * 16

    run = copy_with(certified, tmp_path / "a", forget)
    with pytest.raises(ValueError, match="give --classifier=FOLDER too"):
        run.task(tmp_path, {})
    run = copy_with(certified, tmp_path / "b", change)
    with pytest.raises(ValueError, match=f"the classifier in .*--run={run.folder}"):
        run.check(run.task(tmp_path, {}).draft())


def test_a_run_of_another_kind_or_without_an_end_is_refused(certified, tmp_path):
    def retitle(written):
        written["kind"] = "smoothed_attacks"

    with pytest.raises(ValueError, match="is a run of smoothed_attacks"):
        copy_with(certified, tmp_path / "a", retitle)
    run = copy_with(certified, tmp_path / "b", lambda written: None)
    rows = run.folder / "rows.tsv"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:-1]))
    with (
        flagsaver.flagsaver(run=str(run.folder), **SMOOTHED),
        pytest.raises(ValueError, match="1 clips have no certificate"),
    ):
        smoothed_attacks.main()
