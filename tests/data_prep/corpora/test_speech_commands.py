import os
import pathlib

import pytest

from data_prep.corpora.base import SPLITS
from data_prep.corpora.speech_commands import official_split, speech_commands
from tests.data_prep.corpora.own_folders import clip

HASHES = ("004ae714", "012c8314", "2d82a556", "409c962a", "4c4d2526", "6071a214")


@pytest.fixture
def root(tmp_path):
    """Two words of six speakers, and what is no word."""
    for word in ("bed", "cat"):
        for name in HASHES:
            clip(tmp_path / word / f"{name}_nohash_0.wav")
    clip(tmp_path / "_background_noise_" / "pink_noise.wav")
    clip(tmp_path / "cat" / "stray.wav")
    return tmp_path


def ids(corpus):
    return {split: [each.id for each in corpus.utterances(split)] for split in SPLITS}


def test_lists_decide(root):
    (root / "validation_list.txt").write_text("bed/2d82a556_nohash_0.wav\r\n")
    (root / "testing_list.txt").write_text("cat/012c8314_nohash_0.wav\nx/1.wav\n")
    corpus = speech_commands(root)
    found = ids(corpus)
    assert corpus.labels == ("bed", "cat") and corpus.whole
    assert found["validation"] == ["bed/2d82a556_nohash_0"]
    assert found["test"] == ["cat/012c8314_nohash_0"]
    assert len(found["train"]) == 10
    assert corpus.utterances("test")[0].speaker == "012c8314"
    assert corpus.notes == (
        "left out: 1 file (stray.wav) not named WORD/SPEAKER_nohash_TAKE.wav",
        "absent: 1 file (x/1.wav) of the lists",
    )


def test_without_lists_the_rule_decides(root):
    found = ids(speech_commands(root))
    tested = {id.split("/")[1][:8] for id in found["test"]}
    assert tested == {"2d82a556", "4c4d2526"}
    assert {id.split("/")[1][:8] for id in found["validation"]} == {
        "409c962a",
        "6071a214",
    }
    assert official_split("004ae714_nohash_3.wav") == "train"


def test_what_it_refuses(root, tmp_path):
    (root / "testing_list.txt").write_text("")
    with pytest.raises(ValueError, match="has testing_list.txt and no validation_list"):
        speech_commands(root)
    with pytest.raises(ValueError, match="holds no words: files must be named WORD/"):
        speech_commands(root / "_background_noise_")
    with pytest.raises(ValueError, match="no class dog in .*; there are bed, cat"):
        speech_commands(root, classes="dog")


@pytest.mark.skipif("ADVJAX_DATA" not in os.environ, reason="needs real audio")
def test_the_rule_gives_the_lists_of_the_data_set():
    root = pathlib.Path(os.environ["ADVJAX_DATA"]) / "speech_commands_v0.01"
    corpus = speech_commands(root)
    assert [len(corpus.utterances(split)) for split in SPLITS] == [84, 18, 18]
    for split in SPLITS:
        for each in corpus.utterances(split):
            assert official_split(each.id.split("/")[1] + ".wav") == split
