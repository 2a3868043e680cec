"""The page of a report of attacks, from rows and WAVs that are written here."""

import re

import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import attack, report
from experiments.lab import attack_report, listening_page, wav_pairs
from experiments.lab.audio import write_wav
from experiments.lab.wav_pairs import EXAMPLES_FILE, WavPair
from tests.browser import open_page
from tests.experiments.lab.test_attack_report import write_run

HOSTILE = "<script>alert(1)</script>"
RATE = 8000
ROWS = [(0, 0, -1, True, 10, 0.1)] * 4


def save(folder, names, **fields):
    """Pairs of WAVs in a folder, and their list."""
    rng, pairs = np.random.default_rng(0), []
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        clean = rng.normal(scale=0.1, size=RATE // 2)
        files = [f"{number}_{kind}.wav" for kind in ("adversarial", "clean")]
        write_wav(folder / files[0], clean + 0.001, RATE)
        write_wav(folder / files[1], clean, RATE)
        pairs.append(
            WavPair(name, "one", "", "one", "two", "yes", 0, 40.0, "pcm16", *files)
            ._replace(**fields)
        )  # fmt: skip
    wav_pairs.write(folder / EXAMPLES_FILE, pairs)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", ROWS, corpus="digits")


def test_a_page_plays_both_files_and_their_difference(folder, tmp_path):
    save(folder, ["first", "second"])
    attack_report.report([folder], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    assert "<title>pgd at waveform, plain, 30dB on digits</title>" in text
    assert text.count("<audio") == 6 and text.count('class="plot"') == 6
    assert text.count("still fools as a file") == 2
    assert "2 of 4 successes, as files of 16 bits." in text
    # The difference of 0.001 is raised to nearly one half.
    assert text.count("played 53 dB louder") == 2
    assert "<td>first</td>" in text and ">fooled</th>" in text


def test_labels_and_names_are_escaped(folder, tmp_path):
    hostile = dict.fromkeys(("label", "target", "clean", "adversarial"), HOSTILE)
    save(folder, [HOSTILE], **hostile)
    attack_report.report([folder], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in text and text.count("&lt;script&gt;") > 9


def test_a_pair_that_no_longer_fools_and_one_rounded_away_say_so(folder, tmp_path):
    audio = save(tmp_path / "audio", ["a"], fools="no", clipped=3)
    (heading, remark, card) = listening_page.blocks([folder], {folder: audio})
    assert "fools no longer" in card.text and "3 samples clipped" in card.text
    wav_pairs.write(
        audio / EXAMPLES_FILE,
        [WavPair("a", "one", "", "one", "one", "no", 0, np.inf, "pcm16", "")],
    )
    (_, _, card) = listening_page.blocks([folder], {folder: audio})
    assert "rounded away" in card.text and "<audio" not in card.text


def test_lists_of_earlier_versions_name_no_clean_file(folder):
    save(folder, ["a"])
    list_file = folder / EXAMPLES_FILE
    for kind in ("adversarial", "clean"):
        (folder / f"0_{kind}.wav").rename(folder / f"old_{kind}.wav")
    text = list_file.read_text().replace("0_adversarial", "old_adversarial")
    list_file.write_text(
        "".join(line.rpartition("\t")[0] + "\n" for line in text.splitlines())
    )
    (*_, card) = listening_page.blocks([folder], {})
    assert card.text.count("<audio") == 3
    (folder / "old_clean.wav").unlink()
    (*_, card) = listening_page.blocks([folder], {})
    assert "its WAVs are missing" in card.text


def test_a_page_of_limited_size_has_clips_of_all_runs(folder, tmp_path, monkeypatch):
    other = write_run(tmp_path / "other", ROWS, budget="20dB")
    for each in (folder, other):
        save(each, ["a", "b", "c"])
    size = max(len(card.text) for card in listening_page.blocks([folder], {})[2:])
    monkeypatch.setattr(listening_page, "_MOST_LETTERS", int(3.5 * size))
    found = listening_page.blocks([folder, other], {})
    shown = [block for block in found if isinstance(block, str) and "of 4" in block]
    assert [text[:6] for text in shown] == ["2 of 4", "1 of 4"]


def test_a_run_without_wavs_or_success_has_no_section(folder, tmp_path):
    assert listening_page.blocks([folder], {}) == []
    failed = write_run(tmp_path / "failed", [(0, 0, -1, False, 10, 0.1)])
    assert listening_page.blocks([failed], {}) == []


@pytest.mark.slow
@pytest.mark.usefixtures("need_array_record", "tiny_network")
def test_a_browser_plays_and_shows_all_of_an_attack_on_speech(
    new_home, advjax_data, tmp_path
):
    home = new_home("records")
    given = {
        "home": str(home),
        "corpus": "free_spoken_digits",
        "corpus_dir": str(advjax_data / "free-spoken-digit-dataset"),
        "model": "tiny", "num_steps": 60, "batch_size": 16, "num_points": 12,
        "rep": "waveform", "compile_cache": False,
    }  # fmt: skip
    with flagsaver.flagsaver(**given, attack=["pgd(num_steps=10)"], budget=["30dB"]):
        attack.main()
    # Saved WAVs make the same page in another folder.
    finished = given | {"attack": ["deepfool"], "finish": "pcm16", "save_audio": True}
    with flagsaver.flagsaver(**finished):
        attack.main()
    (saved,) = {path.parent for path in (home / "attack").rglob(EXAMPLES_FILE)}
    with flagsaver.flagsaver(runs=[str(saved)], out=str(tmp_path / "again")):
        report.main()
    pages = [*(home / "attack").rglob("report.html"), tmp_path / "again/report.html"]
    assert len(pages) == 3
    for number, page in enumerate(pages):
        for width in (360, 1400):
            folder = tmp_path / f"{number}-{width}"
            folder.mkdir()
            found = open_page(page, folder, width)
            assert found["errors"] == []
            assert len(found["durations"]) >= 3 and min(found["durations"]) > 0
            assert len(found["widths"]) >= 3 and min(found["widths"]) > 0
            assert min(found["shown"]) > 150 and all(found["alts"])
            assert found["overflow"] <= 0
            assert re.search(r"\d of \d+ successes, as files of 16 bits", found["text"])
            assert "free_spoken_digits" in found["title"]


def test_a_script_in_a_label_does_not_run(folder, tmp_path):
    label = "<img src=x onerror=\"document.title='taken'\">"
    save(folder, [label], label=label)
    attack_report.report([folder], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    assert "onerror=&quot;" in text and "<img src=x" not in text
