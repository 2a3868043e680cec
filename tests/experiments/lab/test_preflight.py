"""Flags and folders are checked before anything is built or trained."""

import dataclasses
import os
import re
import time

import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver

from advjax.runtime import failures
from data_prep import build
from experiments import attack, audibility, certify, smoothed_attacks, train
from experiments.lab import attack_requests, preflight
from experiments.lab.data import Data
from experiments.lab.task import Task

TINY = {
    "corpus": "voices(num_speakers=3, minutes_per_speaker=0.5)",
    "model": "rescnn(width=2, embedding_size=8)",
    "num_steps": 5,
    "batch_size": 16,
    "compile_cache": False,
}
SNR = {"budget": ["30dB"]}
WRONG = [
    (certify, {"num_points": 0}, "--num_points=0: give at least 1"),
    (attack, {"num_points": 0} | SNR, "--num_points=0: give at least 1"),
    (audibility, {"num_points": 0, "rep": "magnitude"}, "--num_points=0"),
    (smoothed_attacks, {"num_points": 0}, "--num_points=0"),
    (smoothed_attacks, {"num_points": -3}, "--num_points=-3"),
    (certify, {"num_points": 61}, "has 60 test clips at most"),
    (attack, {"num_points": 61} | SNR, "has 60 test clips at most"),
    (certify, {"num_estimation": 0}, "num_estimation=0"),
    (certify, {"num_estimation": 2**31}, "num_estimation=2147483648"),
    (certify, {"num_estimation": 2**31, "bound": "sequential"}, "num_estimation="),
    (certify, {"num_selection": 0}, "num_selection=0"),
    (certify, {"num_selection": 2**31}, "num_selection=2147483648"),
    (certify, {"alpha": 0.0}, "alpha=0.0"),
    (certify, {"alpha": 1.0}, "alpha=1.0"),
    (certify, {"alpha": float("nan")}, "alpha=nan"),
    (certify, {"radii": ["0.1", "abc"]}, "--radii: 'abc'"),
    (certify, {"radii": ["-1"]}, "--radii: '-1'"),
    (certify, {"radii": ["nan"]}, "--radii: 'nan'"),
    (certify, {"sigma": 0.0}, "sigma=0.0"),
    (certify, {"sigma": -1.0}, "sigma=-1.0"),
    (certify, {"sigma": float("inf")}, "sigma=inf"),
    (certify, {"sigma": float("nan")}, "sigma=nan"),
    (train, {"sigma": -1.0}, "sigma=-1.0"),
    (certify, {"tile": 10**12}, "--tile=1000000000000"),
    (attack, {"slots": 10**9} | SNR, "--slots=1000000000"),
    (certify, {"rep": "melmag"}, "also --features=melmag"),
    (certify, {"rep": "mbfe"}, "Did you mean 'mfbe'?"),
    (certify, {"features": "mfbe(num_bands='40')"}, "num_bands must be a whole number"),
    (certify, {"features": "mfbe(num_bands=2000000)"}, "--features=mfbe"),
    (
        certify,
        {"features": "magnitude(num_fft=100)", "rep": "magnitude"},
        "--features=magnitude(num_fft=100) cannot be computed",
    ),
    (certify, {"model": "rescnn(width=0)"}, "width=0"),
    (certify, {"model": "rescnn(width='8')"}, "width must be a whole number"),
    (certify, {"model": "rescnn(num_classes=7)"}, "num_classes is 3"),
    (certify, {"model": "rescnn(width=1000000)"}, "choose a smaller width"),
    (certify, {"model": "dense_wav"}, "cannot be made"),
    (certify, {"corpus": "voices(num_speakers='3')"}, "num_speakers must be"),
    (certify, {"noise": "gaussian(sigma='a')"}, "sigma must be a finite number"),
    (certify, {"defence": "gaussian(sigma=None)"}, "sigma must be a finite number"),
    (certify, {"batch_size": 451}, "--batch_size=451"),
    (train, {"batch_size": 451}, "--batch_size=451"),
    (certify, {"noise": "gain"}, "Give --rep=waveform or --rep=magnitude"),
    (train, {"noise": "gain"}, "no change of level moves it"),
    (
        certify,
        {"noise": "gain", "rep": "logmel", "features": "logmel"},
        "does not multiply what it holds",
    ),
    (attack, {"budget": ["-400dB"]}, "give a ratio in dB from -100 to 300"),
    (attack, {"budget": ["abc"]}, "--budget='abc'"),
    (attack, {"budget": ["1.2.3"]}, "--budget='1.2.3'"),
    (attack, {"attack": ["pgd(num_steps='40')"]} | SNR, "num_steps must be a whole"),
    (attack, {"attack": ["pgdd"]} | SNR, "Did you mean 'pgd'?"),
    (attack, {"target": ["speaker-01"]} | SNR, "write pgd(targeted=True)"),
    (attack, {"target": ["spaeker-01"]} | SNR, "Did you mean 'speaker-01'?"),
    (attack, {"target": ["next"], "attack": ["deepfool"]}, "leave --target out"),
    (
        attack,
        {"attack": ["partial_information"], "target": ["nobody"]} | SNR,
        "--target=nobody: no such class",
    ),
    (smoothed_attacks, {"fractions": ["a"]}, "--fractions: 'a'"),
    (smoothed_attacks, {"fractions": ["0"]}, "--fractions: '0'"),
    (smoothed_attacks, {"eot_attack": ["pgd(norm='linf')"]}, "give norm='l2'"),
    (audibility, {"rep": "mfbe"}, "there is a bound for waveform, magnitude"),
    (certify, {"records": "MINE"}, "Give the folder that data_prep.build made"),
    (certify, {"classifier": "MINE"}, "no classifier in"),
    (certify, {"workdir": "MINE"}, "is not empty and holds no run"),
    (attack, {"workdir": "MINE"} | SNR, "is not empty and holds no run"),
    (smoothed_attacks, {"workdir": "MINE"}, "is not empty and holds no run"),
    (certify, {"workdir": "MINE/report.md"}, "not a folder"),
    (certify, {"home": "MINE/report.md"}, "is a file"),
    (certify, {"profile": "MINE/report.md"}, "--profile="),
]


@pytest.mark.parametrize(("program", "given", "words"), WRONG)
def test_a_wrong_start_ends_in_one_line_before_any_work(
    program, given, words, tmp_path, monkeypatch
):
    def work(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr(build, "build", work)
    home, mine = tmp_path / "home", tmp_path / "mine"
    home.mkdir()
    mine.mkdir()
    (mine / "report.md").write_text("my own")
    given = {
        name: value.replace("MINE", str(mine)) if isinstance(value, str) else value
        for name, value in given.items()
    }
    start = time.process_time()
    with (
        pytest.raises(
            (ValueError, OSError, absl_flags.Error), match=re.escape(words)
        ) as refused,
        flagsaver.flagsaver(**{"home": str(home)} | TINY | given),
    ):
        program.main()
    assert "\n" not in str(refused.value)
    assert time.process_time() - start < 3.0
    assert not list(home.iterdir())
    assert [path.name for path in mine.iterdir()] == ["report.md"]
    assert (mine / "report.md").read_text() == "my own"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="--home=.*permission denied"):
        preflight.check_writable(tmp_path / "home", "--home")


def test_a_home_without_permission_is_refused_for_root_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="--home=.*permission denied"):
        preflight.check_writable(tmp_path / "home", "--home")


def test_what_a_stage_is_advised_to_ask_for_is_accepted(tmp_path):
    task = Task(home=tmp_path, corpus=TINY["corpus"], at="melmag")
    with pytest.raises(ValueError, match="--features=melmag"):
        task.draft()
    preflight.check(dataclasses.replace(task, features="melmag").draft())
    assert not list(tmp_path.iterdir())


def test_another_engine_is_asked_for_its_package_first(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "_is_installed", lambda module: False)
    task = Task(home=tmp_path, corpus=TINY["corpus"], engine="openvino")
    with pytest.raises(ImportError, match="openvino is missing: pip install"):
        preflight.check(task.draft())


def test_an_engine_without_gradients_is_refused_for_attacks(tmp_path):
    task = Task(home=tmp_path, corpus=TINY["corpus"], engine="openvino")
    with pytest.raises(ValueError, match="certifies and has no gradients"):
        attack_requests.build(task.draft(), "pgd")


@pytest.mark.slow
def test_a_network_that_an_engine_lacks_is_refused_before_its_training(
    tmp_path, monkeypatch
):
    pytest.importorskip("openvino")
    from advjax.interop import openvino_graph

    task = Task(home=tmp_path, corpus=TINY["corpus"], model=TINY["model"])
    draft = dataclasses.replace(task, engine="openvino").draft()
    preflight.check(draft)
    monkeypatch.delitem(openvino_graph._OTHERS, "conv_general_dilated")
    with pytest.raises(ValueError, match="^ResCNN cannot be .* leave it out$"):
        preflight.check(draft)


def test_without_validation_clips_no_training_is_begun(tmp_path):
    draft = Task(home=tmp_path, corpus=TINY["corpus"]).draft()
    sizes = {"train": 450, "validation": 0, "test": 60}
    source = dataclasses.replace(draft.source, sizes=sizes)
    with pytest.raises(ValueError, match="no validation clips"):
        preflight.check(dataclasses.replace(draft, source=source))


def test_the_default_number_of_points_is_what_there_is_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(Data, "split", lambda *_: range(3))
    records = Data(folder=tmp_path, info=None)
    assert records.num_points(None, 30) == 3
    assert records.num_points(2, 30) == 2
    assert records.num_points(7, 30) == 7  # which test_points refuses
