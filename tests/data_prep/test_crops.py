import functools

import numpy as np
import pytest

from advjax.signal.samples import to_int16
from data_prep.clips import UnreadableAudio, activity_bounds
from data_prep.corpora.base import SPLITS, Corpus, Utterance
from data_prep.crops import Skipped, crops, most_crops, random_crops, spaced_crops

NUM_SAMPLES = 100


def speak(seed, length):
    """Noise with quiet ends, so that the activity cut has something to cut."""
    wave = np.random.default_rng(seed).uniform(-0.6, 0.6, length).astype(np.float32)
    wave[: length // 5] *= 0.1
    wave[-length // 5 :] *= 0.1
    return wave


def fail(path):
    raise UnreadableAudio(path, "broken")


def corpus(lengths, bad=()):
    """Speakers "a", "b", ... whose utterances have these lengths, in every split."""
    utterances = []
    for label, of_speaker in enumerate(lengths.values()):
        for index, length in enumerate(of_speaker):
            name = list(lengths)[label]
            load = functools.partial(speak, [ord(name), index], length)
            utterance_id = f"{name}-{index}"
            if utterance_id in bad:
                load = functools.partial(fail, f"{utterance_id}.flac")
            utterances.append(Utterance(utterance_id, label, name, load))
    return Corpus(
        name="noise",
        labels=(*lengths, "nobody"),
        splits=dict.fromkeys(SPLITS, tuple(utterances)),
    )


def cut(source, **options):
    options = {
        "policy": "random",
        "per_class": 20,
        "num_samples": NUM_SAMPLES,
    } | options
    return list(crops(source, options.pop("split", "train"), **options))


@pytest.mark.parametrize("policy", ["random", "spaced"])
def test_a_crop_is_the_audio_that_its_id_names(policy):
    source = corpus({"a": [900, 1300, 400], "b": [700, 60]})
    waves = {each.id: each.load() for each in source.utterances("train")}
    found = cut(source, policy=policy)
    assert len({crop.id for crop in found}) == len(found)
    for crop in found:
        name, place = crop.id.split("@")
        start, (first, stop) = int(place), activity_bounds(waves[name])
        expected = to_int16(waves[name][start : min(stop, start + NUM_SAMPLES)])
        assert first <= start
        assert crop.audio.shape == (NUM_SAMPLES,) and crop.audio.dtype == np.int16
        np.testing.assert_array_equal(crop.audio[: len(expected)], expected)
        assert not crop.audio[len(expected) :].any()
        # Only an utterance that is shorter than an example is padded.
        assert len(expected) == min(NUM_SAMPLES, stop - first)
        assert (crop.speaker, crop.label) == (name[0], "ab".index(name[0]))
    assert {crop.id.split("@")[0] for crop in found} == set(waves)
    assert [crop.label for crop in found].count(0) == 20


def test_same_seed_same_crops_and_every_part_of_the_seed_counts():
    lengths = {"a": [900, 1300], "b": [1000, 1000]}
    ids = [crop.id for crop in cut(corpus(lengths))]
    assert ids == [crop.id for crop in cut(corpus(lengths))]
    assert ids != [crop.id for crop in cut(corpus(lengths), seed=1)]
    assert ids != [crop.id for crop in cut(corpus(lengths), split="test")]
    alone = [crop.id for crop in cut(corpus({"b": lengths["b"]}))]
    assert alone == ids[20:]  # who else is in the corpus does not matter
    same = cut(corpus({"a": [1000] * 2, "b": [1000] * 2}), policy="random")
    places = [crop.id[2:].split("@")[0] for crop in same]
    assert places[:20] != places[20:]  # classes do not share one stream of draws


def test_random_crops_prefer_no_utterance_and_reach_both_ends():
    generator = np.random.default_rng(0)
    starts = random_crops([300, 50_100], 400, num_samples=100, generator=generator)
    share = sum(utterance == 0 for utterance, _ in starts) / 400
    # Of 201 starts in the short one some repeat and are drawn anew, so a little less
    # than half (expected 0.38); by length it would be 0.004.
    assert 0.25 < share < 0.5
    assert len(set(starts)) == 400
    assert min(start for _, start in starts) < 5
    assert max(start for utterance, start in starts if utterance == 0) in range(
        190, 201
    )
    assert max(start for _, start in starts) > 48_000


def test_fewer_random_crops_are_the_beginning_of_more():
    def draw(number):
        generator = np.random.default_rng(3)
        return random_crops([150, 900], number, num_samples=100, generator=generator)

    assert draw(50) == draw(300)[:50]


def test_short_utterances_give_one_crop_each():
    generator = np.random.default_rng(0)
    starts = random_crops([10, 100, 30], 50, num_samples=100, generator=generator)
    assert sorted(starts) == [(0, 0), (1, 0), (2, 0)]
    starts = spaced_crops([10, 100, 30], 50, num_samples=100)
    assert starts == [(0, 0), (1, 0), (2, 0)]


def test_spaced_crops_are_even():
    starts = spaced_crops([1099, 199, 50], 13, num_samples=100)
    places = {index: [at for each, at in starts if each == index] for index in range(3)}
    assert {index: len(found) for index, found in places.items()} == {0: 11, 1: 1, 2: 1}
    assert places[1] == [50] and places[2] == [0]
    assert set(np.diff(places[0])) <= {90, 91} and places[0][0] == 45
    assert max(places[0]) <= 999


def test_spaced_crops_are_shared_in_proportion_to_the_room():
    starts = spaced_crops([1099, 599, 349], 28, num_samples=100)
    shares = [sum(index == each for each, _ in starts) for index in range(3)]
    assert shares == [16, 8, 4]  # room for 1000, 500 and 250


def test_few_spaced_crops_are_spread_over_the_utterances():
    starts = spaced_crops([200] * 9, 3, num_samples=100)
    assert [index for index, _ in starts] == [1, 4, 7]
    assert len(spaced_crops([200] * 9, 9, num_samples=100)) == 9
    assert len(spaced_crops([102, 101], 100, num_samples=100)) == 5


def test_whole_clips_are_one_example_each_from_their_beginning():
    source = corpus({"a": [900, 40], "b": [NUM_SAMPLES]})
    waves = {each.id: each.load() for each in source.utterances("train")}
    found = cut(source, policy="whole", per_class=1)
    assert [crop.id for crop in found] == ["a-0@0", "a-1@0", "b-0@0"]
    assert [crop.num_after for crop in found] == [800, 0, 0]
    for crop in found:
        # The quiet beginning that the activity cut takes off is there.
        whole = to_int16(waves[crop.id[:3]])[:NUM_SAMPLES]
        assert activity_bounds(waves[crop.id[:3]])[0] > 0
        np.testing.assert_array_equal(crop.audio[: len(whole)], whole)
        assert crop.audio.shape == (NUM_SAMPLES,) and not crop.audio[len(whole) :].any()


def test_whole_clips_are_read_as_they_are_asked_for():
    source = corpus({"a": [900, 900]}, bad=("a-1",))
    found = crops(source, "train", policy="whole", per_class=1, num_samples=NUM_SAMPLES)
    assert next(found).id == "a-0@0"
    with pytest.raises(UnreadableAudio):
        next(found)
    found = cut(source, policy="whole", on_error="skip")
    assert [crop.id for crop in found] == ["a-0@0"]
    nothing = corpus({"a": [900]}, bad=("a-0",))
    with pytest.raises(ValueError, match="none of the 1 train recordings of a"):
        cut(nothing, policy="whole", on_error="skip")


def test_what_follows_a_crop_is_counted():
    for crop in cut(corpus({"a": [900]}), policy="spaced", per_class=3):
        wave = corpus({"a": [900]}).utterances("train")[0].load()
        assert crop.num_after == activity_bounds(wave)[1] - NUM_SAMPLES - int(
            crop.id.split("@")[1]
        )


def test_an_unreadable_recording_stops_the_build_with_its_name():
    source = corpus({"a": [900, 900]}, bad=("a-1",))
    with pytest.raises(UnreadableAudio, match=r"a-1\.flac: broken"):
        cut(source)


def test_an_unreadable_recording_is_skipped_and_listed():
    skipped, read = [], []
    source = corpus({"a": [900, 900, 900], "b": [900]}, bad=("a-1",))
    found = cut(
        source,
        on_error="skip",
        skipped=skipped,
        progress=lambda: read.append(1),
    )
    assert skipped == [Skipped("a-1.flac", "broken")]
    assert {crop.id.split("@")[0] for crop in found} == {"a-0", "a-2", "b-0"}
    assert len(found) == 40 and len(read) == 4


def test_a_class_without_a_readable_recording_is_an_error():
    source = corpus({"a": [900], "b": [900, 900]}, bad=("b-0", "b-1"))
    with pytest.raises(ValueError, match="none of the 2 train recordings of b"):
        cut(source, on_error="skip")


def test_recordings_are_read_when_their_class_is_asked_for():
    found = crops(
        corpus({"a": [900], "b": [900]}, bad=("b-0",)),
        "train",
        policy="random",
        per_class=5,
        num_samples=NUM_SAMPLES,
    )
    assert [next(found).speaker for _ in range(5)] == ["a"] * 5
    with pytest.raises(UnreadableAudio):
        next(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "best"}, "random or spaced"),
        ({"on_error": "ignore"}, "'stop' or 'skip'"),
        ({"per_class": 0}, "at least 1"),
        ({"split": "dev"}, "train, validation, test"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_read(options, message):
    options = {"split": "train", "policy": "random", "per_class": 5} | options
    with pytest.raises(ValueError, match=message):
        crops(corpus({"a": [900]}), options.pop("split"), **options)


def test_the_most_crops_follow_from_lengths():
    def clip(label, seconds):
        return Utterance("u", label, "s", lambda: np.zeros(1, np.float32))._replace(
            seconds=seconds
        )

    most = functools.partial(most_crops, num_samples=100, rate_hz=1_000)
    short = [clip(0, 0.01), clip(0, 0.1), clip(1, 0.1)]
    assert most(short, 20) == 3
    assert most([*short, clip(1, 0.105)], 20) == 9
    assert most([*short, clip(1, 0.105)], 4) == 6
    assert most([clip(0, None)], 20) == 20
