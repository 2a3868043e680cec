"""The whole command, from synthetic speakers to the table, at the smallest size."""

import contextlib
import csv
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.attacks import ATTACKS
from advjax.representations import REPRESENTATIONS
from advjax.runs import folder as runs
from advjax.runs.row_types import CERTIFICATES
from advjax.runtime import parallel, targets
from advjax.smoothing.counting import in_order
from experiments import app, certify, report, requests, train
from experiments.lab import certify_report, presets, vote_checkpoints, vote_placement
from experiments.lab.attack_requests import TARGETS

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "tiny",
    "num_steps": 30,
    "batch_size": 16,
    "num_selection": 10,
    "num_estimation": 40,
    "num_points": 4,
    "alpha": 0.01,
    "compile_cache": False,
}


pytestmark = pytest.mark.usefixtures("need_array_record", "tiny_network")


@pytest.fixture(scope="module")
def home(new_home):
    """A home in which one run has been made."""
    with flagsaver.flagsaver(home=str(home := new_home()), **SMALL):
        certify.main()
    return home


def run_folder(home):
    (folder,) = (home / "certify").iterdir()
    return folder


def test_the_run_has_rows_a_report_and_a_picture(home, capsys):
    folder = run_folder(home)
    lines = (folder / "rows.tsv").read_text().splitlines()
    assert lines[0].startswith("idx\tlabel\tpredict\tradius\tcorrect\ttime\tid")
    assert len(lines) == 5
    report = (folder / "report.md").read_text()
    assert "| smoothed |" in report
    for name in ("command", "started", "device", "corpus", "classes", "bound"):
        assert f"| {name} |" in report
    assert "| clips | 4 of the test split, which has" in report
    assert "; they are cut from 2 recordings |" in report
    assert "| accuracy without noise or smoothing |" in report
    assert "Largest" not in report
    assert "r=0.01 |" in report and "r=1.5" not in report
    tables = folder / "tables" / "accuracy_at_each_radius"
    header, row = csv.reader(
        tables.with_suffix(".csv").read_text("utf-8").split("\n")[:2]
    )
    assert header[:5] == ["run", "points", "smoothed", "smoothed low", "smoothed high"]
    assert 0 <= float(row[3]) <= float(row[2]) <= float(row[4]) <= 1
    latex = tables.with_suffix(".tex").read_text("utf-8").split("\n")
    described = json.loads((folder / "run.json").read_text())["environment"]
    assert latex[1] == f"% {described['command']}, code {described['git']}"
    pytest.importorskip("matplotlib")
    assert (folder / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_without_matplotlib_a_report_lacks_its_picture_alone(
    home, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = certify_report.report([run_folder(home)], tmp_path)
    assert "pip install matplotlib" in text
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["report.md", "tables"]
    report = (tmp_path / "report.md").read_text("utf-8")
    assert "| smoothed |" in report
    assert "curve.png" not in report


def test_run_json_states_what_a_certificate_depends_on(home):
    described = json.loads((run_folder(home) / "run.json").read_text())
    settings, outcome = described["settings"], described["outcome"]
    assert outcome["base_accuracy"]["total"] == 4
    rows = CERTIFICATES.read(run_folder(home))
    assert outcome["duration_s"] == pytest.approx(rows.time.sum())
    assert described["environment"]["corpus_options"] == SMALL["corpus"]
    assert described["environment"]["num_classes"] == 2
    assert settings["noise_enters_at"] == "mfbe"
    assert settings["representation"]["source"]["window"] == "rectangular"
    assert len(settings["classifier"]) == 16
    for name in ("gain_policy", "clip_policy", "seed", "tile", "alpha", "noise"):
        assert name in settings


def test_the_same_command_reuses_everything(home, capsys):
    before = (run_folder(home) / "rows.tsv").read_bytes()
    with flagsaver.flagsaver(home=str(home), **SMALL):
        certify.main()
    said = capsys.readouterr()
    assert said.err.count("(found)") == 2
    assert "All 4 clips were certified before." in said.err
    assert "r=0.25" in said.out
    assert (run_folder(home) / "rows.tsv").read_bytes() == before


def test_a_run_cut_in_the_middle_of_a_row_ends_with_the_same_rows(home, tmp_path):
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    path = run_folder(copy) / "rows.tsv"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:9])
    with flagsaver.flagsaver(home=str(copy), **SMALL):
        certify.main()

    def without_time(content):
        return [line.split("\t")[:5] + line.split("\t")[6:] for line in content]

    again = path.read_text().splitlines()
    assert without_time(again) == without_time(whole.decode().splitlines())


def test_a_point_cut_in_mid_count_goes_on_from_its_votes(home, tmp_path, monkeypatch):
    whole = CERTIFICATES.read(run_folder(home))
    monkeypatch.setattr(vote_checkpoints, "EVERY_S", 0.0)
    counted = []

    def stop_at_the_third(folder, here):
        write = writer(folder, here)

        def note(id, tally):
            write(id, tally)
            counted.append((id, tally))
            if len(counted) == 3:
                raise KeyboardInterrupt

        return note

    writer = vote_checkpoints.writer
    again = tmp_path / "again"
    options = {"home": str(home), "workdir": str(again), **SMALL}
    monkeypatch.setattr(vote_checkpoints, "writer", stop_at_the_third)
    # A dispatch of one tile of five copies: each point takes ten.
    monkeypatch.setattr(
        vote_placement,
        "placed",
        lambda placement, *_: contextlib.nullcontext(placement._replace(chunk=1)),
    )
    monkeypatch.setattr(parallel, "local_mesh", lambda: None)
    with flagsaver.flagsaver(**options, tile=5), pytest.raises(KeyboardInterrupt):
        certify.main()
    (path,) = again.glob("votes*.json")
    assert vote_checkpoints.read(again) == dict(counted[-1:])
    assert len(CERTIFICATES.read(again)) == 0
    queued = []
    queue_votes = in_order.queue_votes

    def note_first(*args, **kwargs):
        queued.append((kwargs["first"], kwargs["num_samples"]))
        return queue_votes(*args, **kwargs)

    monkeypatch.setattr(vote_checkpoints, "writer", writer)
    monkeypatch.setattr(in_order, "queue_votes", note_first)
    with flagsaver.flagsaver(**options, tile=5):
        certify.main()
    # Ten selection votes were counted and five of forty others.
    assert queued[:3] == [(5, 35), (0, 10), (0, 40)]
    assert not path.exists()
    monkeypatch.setattr(in_order, "queue_votes", queue_votes)
    options["workdir"] = str(tmp_path / "undisturbed")
    with flagsaver.flagsaver(**options, tile=5):
        certify.main()
    expected = CERTIFICATES.read(tmp_path / "undisturbed")
    found = CERTIFICATES.read(again)
    assert found.id == expected.id == whole.id
    np.testing.assert_array_equal(found.votes, expected.votes)


def test_a_trace_of_the_steady_state_is_written(home, tmp_path):
    options = {"home": str(home), "workdir": str(tmp_path / "run"), **SMALL}
    with flagsaver.flagsaver(**options, profile=str(tmp_path / "trace")):
        certify.main()
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))


def test_a_run_says_its_precision_and_tile(home, tmp_path):
    options = {"home": str(home), "workdir": str(tmp_path / "run"), **SMALL}
    with flagsaver.flagsaver(**options, precision="bfloat16", tile=7):
        certify.main()
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["precision"], settings["tile"]) == ("bfloat16", 7)
    with flagsaver.flagsaver(**options), pytest.raises(ValueError, match="precision"):
        certify.main()


def test_one_process_goes_on_where_several_left_off(home, tmp_path):
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    folder = run_folder(copy)
    header, *lines = (folder / "rows.tsv").read_bytes().splitlines(keepends=True)
    (folder / "rows.tsv").unlink()
    # Process 1 of 2 was cut off in its second row; process 2 of 3 had one row.
    (folder / "rows-1-of-2.tsv").write_bytes(header + lines[1] + lines[3][:9])
    (folder / "rows-2-of-3.tsv").write_bytes(header + lines[2])
    assert runs.num_missing(folder) == 2
    with flagsaver.flagsaver(home=str(copy), **SMALL):
        certify.main()
    assert runs.num_missing(folder) == 0
    new = (folder / "rows.tsv").read_bytes().splitlines()
    ids = [line.split(b"\t")[6] for line in lines]
    assert [line.split(b"\t")[6] for line in new[1:]] == [ids[0], ids[3]]
    merged, whole = (
        CERTIFICATES.read(folder),
        CERTIFICATES.read(run_folder(home)),
    )
    for column in ("idx", "predict", "radius", "votes", "p_lower", "snr_db"):
        before, after = getattr(whole, column), getattr(merged, column)
        assert before.tolist() == after.tolist()


def test_a_disk_that_the_other_processes_do_not_see_is_refused(
    home, tmp_path, monkeypatch
):
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.setattr(parallel, "process", lambda: parallel.Process(0, 2))
    with (
        flagsaver.flagsaver(**SMALL | {"home": str(tmp_path / "home")}, seed=0),
        pytest.raises(ValueError, match="no rows-1-of-2.tsv.*same --home"),
    ):
        # The others are heard: this one alone has what they say on its own disk.
        monkeypatch.setattr(parallel, "_hear", lambda what, index: "done")
        certify.main()


def test_programs_of_one_process_refuse_the_flags_of_several():
    with (
        flagsaver.as_parsed(process_id="1"),
        pytest.raises(ValueError, match="--process_id: .*one process"),
    ):
        app._start(report.main, several_processes=False)


@pytest.mark.parametrize("program", ["certify", "attack", "train"])
def test_help_names_what_there_is_and_imports_no_jax(program):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"experiments.{program}", "--help"],
        capture_output=True, text=True, cwd=pathlib.Path(__file__).parents[2],
    )  # fmt: skip
    text = " ".join(done.stdout.split())
    assert f"All stages: {', '.join(REPRESENTATIONS)}." in text
    if program == "attack":
        assert f"One of {', '.join(ATTACKS)}." in text
        assert f"of targeted attacks: {', '.join(TARGETS)}, or" in text
    for flag in ("--coordinator", "--num_processes", "--process_id", "--[no]cluster"):
        assert flag in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "absl.flags" in imported and not imported & {"jax", "scipy", "flax"}


def test_a_workdir_of_another_run_is_refused(home):
    with (
        flagsaver.flagsaver(home=str(home), workdir=str(run_folder(home)), **SMALL),
        flagsaver.flagsaver(seed=0, num_estimation=50),
        pytest.raises(ValueError, match="num_estimation"),
    ):
        certify.main()


def test_report_joins_runs(home, tmp_path, capsys):
    folder = str(run_folder(home))
    with flagsaver.flagsaver(runs=[folder, folder], out=str(tmp_path / "r")):
        report.main()
    assert capsys.readouterr().out.count("voices mfbe") == 2
    assert (tmp_path / "r" / "report.md").exists()


@pytest.mark.parametrize(
    ("law", "sigma", "norm"),
    [
        ("uniform", 0.25, "l1"),
        # Of a short table.
        pytest.param("pcm16", 0.02, "l2", marks=pytest.mark.slow),
        pytest.param("gain", 0.25, "gain", marks=pytest.mark.slow),
        pytest.param(
            "coloured(curve='corpus')", 0.25, "ellipsoid", marks=pytest.mark.slow
        ),
    ],
)
def test_other_laws_certify_in_their_norm_and_train_on_their_noise(
    home, law, sigma, norm, tmp_path, capsys
):
    given = {"noise": law, "sigma": sigma, "rep": "waveform", "num_steps": 2}
    given["workdir"] = str(tmp_path / "run")
    with flagsaver.flagsaver(home=str(home), **SMALL | given):
        certify.main()
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    tones = settings["noise"].pop("tone_db", {})
    assert settings["noise"] == {"law": law, "sigma": sigma, "norm": norm}
    assert settings["defence"] == f"noisy(noise={law!r}, sigma={sigma})"
    report = (tmp_path / "run" / "report.md").read_text()
    assert bool(tones) == (norm == "ellipsoid") == ("dB at 1000 Hz" in report)
    found = CERTIFICATES.read(tmp_path / "run")
    # Of sqrt(3) sigma's uniform noise and of normal noise, by 40 unanimous votes.
    most = {"uniform": 0.3387, "pcm16": 0.02466}.get(law)
    cap = settings["cap"]
    assert cap == pytest.approx(most, rel=1e-3) if most else cap > 0
    assert (np.isfinite(found.radius_wave) == (norm == "l2")).all()
    assert f"waveform {law} σ={sigma} noisy" in capsys.readouterr().out


def test_train_finds_the_classifier_and_measures_it(home, capsys):
    only = {"num_selection", "num_estimation", "num_points", "alpha"}
    given = {name: value for name, value in SMALL.items() if name not in only}
    with flagsaver.flagsaver(home=str(home), **given):
        train.main()
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rep": "logmel"}, "waveform, magnitude, mfbe"),
        ({"rep": "mel"}, "waveform, magnitude, mfbe"),
        ({"features": "mfbee"}, "Did you mean 'mfbe'"),
        ({"sigma": 0.0}, "sigma"),
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": float("nan")}, "sigma"),
        ({"noise": "gausian"}, "Did you mean 'gaussian'"),
        ({"noise": "coloured"}, "give --rep=waveform"),
        ({"noise": "masked", "rep": "waveform"}, "no known certificate"),
        ({"num_estimation": 5, "alpha": 1e-3}, "10"),
        ({"corpus": "voice"}, "Did you mean 'voices'"),
        ({"corpus": "librispeech"}, "corpus_dir"),
        ({"corpus": "librispeech", "corpus_dir": "nowhere"}, "nowhere"),
        ({"records": "nowhere"}, "nowhere"),
        ({"classifier": "nowhere"}, "experiments.train"),
        ({"defence": "gausian"}, "Did you mean 'gaussian'"),
        ({"model": "rescnn(depth=3)"}, "no option depth"),
        ({"num_points": 4000}, "num_points=4000"),
    ],
)
def test_wrong_input_says_what_to_do(home, given, message):
    with (
        flagsaver.flagsaver(**{"home": str(home), **SMALL, **given}),
        pytest.raises((ValueError, FileNotFoundError), match=message),
    ):
        certify.main()


def test_a_speaker_with_one_utterance_and_a_corrupt_file_are_named(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    import numpy as np

    rng = np.random.default_rng(0)
    for speaker in (1, 2):
        folder = tmp_path / "c" / str(speaker) / "10"
        folder.mkdir(parents=True)
        for number in range(8):
            wave = rng.normal(0, 0.1, 30_000)
            soundfile.write(folder / f"{speaker}-10-{number:04d}.flac", wave, 16_000)
    given = SMALL | {"corpus": "librispeech", "corpus_dir": str(tmp_path / "c")}
    broken = tmp_path / "c" / "1" / "10" / "1-10-0003.flac"
    broken.write_bytes(broken.read_bytes()[:2000])
    with (
        flagsaver.flagsaver(home=str(tmp_path / "h"), **given),
        pytest.raises(ValueError, match="1-10-0003.flac"),
    ):
        certify.main()
    assert not list((tmp_path / "h" / "records").glob("[!.]*"))
    for path in sorted((tmp_path / "c" / "2" / "10").glob("*"))[1:]:
        path.unlink()
    with (
        flagsaver.flagsaver(home=str(tmp_path / "h"), **given),
        pytest.raises(ValueError, match="speaker"),
    ):
        certify.main()


def test_sizes_are_small_on_every_machine_until_they_are_named():
    with targets.compiling_for("gpu"):
        assert requests.preset() is presets.SMALL
    with flagsaver.flagsaver(preset="publication"):
        assert requests.preset().model == "rescnn(width=64)"
