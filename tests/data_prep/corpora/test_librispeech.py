import collections

import numpy as np
import pytest
import soundfile

from data_prep.clips import UnreadableAudio
from data_prep.corpora.base import SPLITS
from data_prep.corpora.librispeech import librispeech
from data_prep.crops import crops


def listing(root, speakers, subset="train-clean-5", suffix="flac"):
    """Empty files: enough for everything that reads no audio."""
    for speaker, number in speakers.items():
        for index in range(number):
            # Two chapters, so that 9 must come before 10.
            chapter = 9 if index < number // 2 else 10
            folder = root / subset / str(speaker) / str(chapter)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{speaker}-{chapter}-{index:04d}.{suffix}").touch()
            (folder / f"{speaker}-{chapter}.trans.txt").touch()


def ids(corpus, split):
    return [utterance.id for utterance in corpus.utterances(split)]


def test_labels_are_speakers_in_order_of_number(tmp_path):
    listing(tmp_path, {1088: 5, 118: 10})
    corpus = librispeech(tmp_path)
    assert corpus.labels == ("118", "1088")
    assert ids(corpus, "train") == [
        *(f"118-9-{index:04d}" for index in range(5)),
        *(f"118-10-{index:04d}" for index in (5, 6)),
        *(f"1088-9-{index:04d}" for index in (0, 1)),
        "1088-10-0002",
    ]
    assert ids(corpus, "validation") == ["118-10-0007", "1088-10-0003"]
    assert ids(corpus, "test") == ["118-10-0008", "118-10-0009", "1088-10-0004"]
    for split in SPLITS:
        for utterance in corpus.utterances(split):
            assert utterance.speaker == utterance.id.split("-")[0]
            assert corpus.labels[utterance.label] == utterance.speaker


def test_one_subset_or_several_or_its_own_folder(tmp_path):
    root = tmp_path / "LibriSpeech"
    listing(root, {1: 5}, subset="train-clean-5")
    listing(root, {4: 5}, subset="train-clean-5")
    listing(root, {2: 5, 3: 5}, subset="dev-clean")
    assert librispeech(root).labels == ("1", "2", "3", "4")
    assert librispeech(root / "dev-clean").labels == ("2", "3")
    assert librispeech(tmp_path, subsets="train-clean-5").labels == ("1", "4")
    both = librispeech(root, subsets=("train-clean-5", "dev-clean"))
    assert both.labels == ("1", "2", "3", "4")
    with pytest.raises(ValueError, match="no subset test-clean.*dev-clean"):
        librispeech(root, subsets="test-clean")


def test_an_utterance_in_two_subsets_counts_once(tmp_path):
    listing(tmp_path, {1: 6}, subset="train-clean-5")
    listing(tmp_path, {1: 10, 2: 2}, subset="train-clean-100")
    corpus = librispeech(tmp_path)
    found = [each for split in SPLITS for each in ids(corpus, split)]
    assert len(found) == len(set(found)) == 14  # 10, 2 of another numbering, 2
    (note,) = corpus.notes
    assert "left out: 4 files (1-10-0005.flac, 1-9-0000.flac, " in note


def test_chosen_speakers(tmp_path):
    listing(tmp_path, {1: 5, 2: 5, 3: 5})
    assert librispeech(tmp_path, speakers=(3, "1")).labels == ("1", "3")
    with pytest.raises(ValueError, match="single class .2.*two classes or more"):
        librispeech(tmp_path, speakers=2)
    with pytest.raises(ValueError, match="no speaker 4 here; there are 1, 2, 3"):
        librispeech(tmp_path, speakers=(1, 4))
    with pytest.raises(ValueError, match="none was named"):
        librispeech(tmp_path, speakers=())


def test_a_speaker_with_one_utterance_is_named_and_can_be_left_out(tmp_path):
    listing(tmp_path, {1: 5, 2: 5, 77: 1})
    with pytest.raises(ValueError, match="speaker 77 .*1 utterance"):
        librispeech(tmp_path)
    assert librispeech(tmp_path, speakers=(1, 2)).labels == ("1", "2")


def chapters(root, counts):
    """Empty files of speakers with several chapters, whose sizes `counts` gives."""
    for speaker, sizes in counts.items():
        for chapter, size in sizes.items():
            folder = root / "dev" / str(speaker) / str(chapter)
            folder.mkdir(parents=True)
            for index in range(size):
                (folder / f"{speaker}-{chapter}-{index:04d}.flac").touch()


def test_split_by_chapter_tests_on_chapters_of_their_own(tmp_path):
    chapters(tmp_path, {1: {9: 12, 10: 3}, 22: {5: 20}, 3: {7: 4, 8: 5, 30: 6, 31: 2}})
    corpus = librispeech(tmp_path, split="chapter")
    assert corpus.labels == ("1", "3", "22")
    assert {
        split: collections.Counter(
            "-".join(name.split("-")[:2]) for name in ids(corpus, split)
        )
        for split in SPLITS
    } == {
        "train": {"1-9": 11, "3-7": 4, "3-8": 5, "22-5": 18},
        "validation": {"1-9": 1, "3-30": 6, "22-5": 2},
        "test": {"1-10": 3, "3-31": 2},
    }
    assert corpus.not_tested == ("22",)
    assert "2 of 3 speakers are tested" in corpus.caveat
    assert "validates: 1, 3." in corpus.caveat
    assert "Not tested, for want of a second chapter: 22." in corpus.caveat
    everyone = librispeech(tmp_path, split="chapter", speakers=(1, 3))
    assert everyone.not_tested == () and "None is left out" in everyone.caveat


def test_a_split_by_chapter_needs_somebody_with_two(tmp_path):
    chapters(tmp_path, {1: {9: 12}, 22: {5: 20}})
    with pytest.raises(ValueError, match="none of 1, 22 has two chapters"):
        librispeech(tmp_path, split="chapter")
    with pytest.raises(ValueError, match="no split 'session'; choose one of utterance"):
        librispeech(tmp_path, split="session")


def test_the_default_split_says_that_sessions_are_shared(tmp_path):
    chapters(tmp_path, {1: {9: 12}, 22: {5: 20}})
    corpus = librispeech(tmp_path)
    assert "test speech shares the recording session" in corpus.caveat
    assert corpus.not_tested == ()


def test_the_real_speaker_with_two_chapters_is_tested_on_the_other(advjax_data):
    corpus = librispeech(advjax_data / "LibriSpeech", split="chapter")
    files = (advjax_data / "LibriSpeech").rglob("*.flac")
    found = collections.Counter(tuple(path.stem.split("-")[:2]) for path in files)
    assert len(corpus.labels) == len({speaker for speaker, _ in found}) == 10
    assert set(corpus.not_tested) == set(corpus.labels) - {"1088"}
    assert len(ids(corpus, "test")) == found["1088", "134318"]
    assert {name[:11] for name in ids(corpus, "test")} == {"1088-134318"}
    kept = ids(corpus, "train") + ids(corpus, "validation")
    assert len(kept) == found.total() - len(ids(corpus, "test"))
    assert {name.split("-")[0] for name in kept} == set(corpus.labels)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="SPEAKER-CHAPTER-UTTERANCE"):
        librispeech(tmp_path / "LibriSpeech")
    (tmp_path / "train-clean-5" / "1" / "2").mkdir(parents=True)
    (tmp_path / "train-clean-5" / "1" / "2" / "._1-2-0000.flac").touch()
    with pytest.raises(ValueError, match="holds no utterances.* holds train-clean-5"):
        librispeech(tmp_path)
    (tmp_path / "train-clean-5" / "1" / "2" / "a.wav").touch()
    with pytest.raises(ValueError, match="no utterances.* 1 other file .a.wav"):
        librispeech(tmp_path)


def test_links_and_letters_and_odd_files(tmp_path):
    listing(tmp_path / "disk", {1: 6, 2: 6}, subset="x")
    root = tmp_path / "LibriSpeech"
    listing(root, {3: 6})
    (root / "dev-clean").symlink_to(tmp_path / "disk" / "x")
    (root / "again").symlink_to(root)
    for number, suffix in enumerate(("FLAC", "Wav", "mp3", "M4A")):
        (root / "train-clean-5" / "3" / "10" / f"3-10-9{number}.{suffix}").touch()
    (root / "train-clean-5" / "3" / "10" / "noise.flac").touch()
    (root / "train-clean-5" / "3" / "10" / "3-10-0003.wav").touch()
    corpus = librispeech(root)
    assert corpus.labels == ("1", "2", "3")
    found = {name for split in SPLITS for name in ids(corpus, split)}
    assert {"3-10-90", "3-10-91", "3-10-92"} <= found and len(found) == 21
    assert [note.split(" of ")[0].split(" not ")[0] for note in corpus.notes] == [
        "left out: 2 files (3-10-93.M4A, noise.flac)",
        "left out: 1 file (3-10-0003.wav)",
    ]
    assert librispeech(root, subsets="dev-clean").labels == ("1", "2")


def test_mixed_formats_and_a_corrupt_file(tmp_path):
    listing(tmp_path, {6: 2})
    for path in tmp_path.rglob("*.flac"):
        soundfile.write(path, np.full(8000, 0.1), 16_000)
    folder = tmp_path / "train-other-500" / "5" / "6"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    formats = [("wav", 44_100, 2), ("ogg", 48_000, 1), ("flac", 8_000, 1)]
    for index, (suffix, rate_hz, channels) in enumerate(formats * 3):
        samples = random.uniform(-0.4, 0.4, (rate_hz, channels))
        soundfile.write(folder / f"5-6-{index:04d}.{suffix}", samples, rate_hz)
    corpus = librispeech(tmp_path)
    assert ids(corpus, "train")[:6] == [f"5-6-{index:04d}" for index in range(6)]
    for utterance in corpus.utterances("train")[:6]:
        assert utterance.load().shape == (16_000,)
    corrupt = folder / "5-6-0002.flac"
    data = bytearray(corrupt.read_bytes())
    data[3000:3040] = bytes(40)
    corrupt.write_bytes(data)
    options = {"policy": "random", "per_class": 30, "num_samples": 4000}
    with pytest.raises(UnreadableAudio, match=r"5-6-0002\.flac"):
        list(crops(corpus, "train", **options))
    skipped = []
    found = list(crops(corpus, "train", on_error="skip", skipped=skipped, **options))
    assert len(found) == 60 and [each.path for each in skipped] == [str(corrupt)]


def test_real_speakers(advjax_data):
    corpus = librispeech(advjax_data / "LibriSpeech")
    speakers = [118, 163, 460, 1088, 1898, 2136, 2416, 3526, 7859, 8629]
    assert corpus.labels == tuple(map(str, speakers))
    files = (advjax_data / "LibriSpeech").rglob("*.flac")
    found = collections.Counter(path.name.split("-")[0] for path in files)
    training = {speaker: number * 4 // 5 for speaker, number in found.items()}
    num_validation = sum(max(1, number // 10) for number in training.values())
    assert {split: len(set(ids(corpus, split))) for split in SPLITS} == {
        "train": sum(training.values()) - num_validation,
        "validation": num_validation,
        "test": found.total() - sum(training.values()),
    }
    assert sum(len(corpus.utterances(split)) for split in SPLITS) == found.total()
    found = list(crops(corpus, "test", policy="spaced", per_class=30))
    assert len({crop.id for crop in found}) == 300
    assert {crop.id.split("@")[0] for crop in found} == set(ids(corpus, "test"))
    path = advjax_data / "LibriSpeech/train-clean-5/118/47824"
    for crop in found[:30:7]:
        name, start = crop.id.split("@")
        stored, _ = soundfile.read(
            path / f"{name}.flac", start=int(start), frames=25_800, dtype="int16"
        )
        np.testing.assert_array_equal(crop.audio, stored)
