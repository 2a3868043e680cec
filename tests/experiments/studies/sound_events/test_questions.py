import numpy as np
import pytest
from scipy import stats

from experiments.lab import clips
from experiments.studies.sound_events import questions
from experiments.studies.sound_events.questions import Example

DISTANCES = np.array(
    [
        [0.0, 1.0, 4.0, 9.0],
        [1.0, 0.0, 3.0, 8.0],
        [4.0, 3.0, 0.0, 2.0],
        [9.0, 8.0, 2.0, 0],
    ]
)


def example(label, new, snr_db=0.0, recording="r", stratum="net/attack"):
    return Example(stratum, recording, label, new, snr_db)


def test_the_nearest_class_is_another_one():
    assert questions.nearest(DISTANCES) == [1, 0, 3, 2]


def test_pairs_are_confused_where_near_classes_come_more_often_than_by_chance():
    near = questions.nearest(DISTANCES)
    # Each clip gets its partner; by chance one of three other classes that are given.
    always = [
        example(k, near[k], recording=f"{k}{n}") for k in range(4) for n in (0, 1)
    ]
    found = questions.confused(always, near)
    assert found.value == pytest.approx(1 - 1 / 3)
    assert found.num_clusters == 8 and found.low > 0
    assert questions.share_near(always, near) == 1
    # All clips get one class, as by chance.
    one = [example(k, 1, recording=f"{k}") for k in (0, 2, 3)]
    assert questions.confused(one, near).value == 0


def test_clips_that_an_attack_leads_to_their_own_label_say_nothing():
    near = questions.nearest(DISTANCES)
    assert questions.confused([example(1, 1)], near) is None
    both = [example(1, 1), example(0, 1, recording="a"), example(2, 1, recording="b")]
    found = questions.confused(both, near)
    assert found.num_clusters == 2 and found.value == pytest.approx(0.0)


def test_the_rank_correlation_is_spearmans_within_each_network():
    generator = np.random.default_rng(0)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    every = [
        example(i, j, 50 * n + generator.normal(), f"{i}", f"net{n}/attack")
        for n in (0, 1)
        for i, j in pairs
    ]
    found = questions.cheaper(every, DISTANCES)
    each = [
        stats.spearmanr(
            [DISTANCES[e.label, e.new] for e in every if e.stratum == f"net{n}/attack"],
            [e.snr_db for e in every if e.stratum == f"net{n}/attack"],
        ).statistic
        for n in (0, 1)
    ]
    assert found.value == pytest.approx(-np.mean(each))
    assert found.low <= found.value <= found.high and found.num_clusters == 4


def test_near_pairs_are_cheaper_where_snr_falls_with_distance():
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    every = [example(i, j, 60 - DISTANCES[i, j], f"{i}{j}") for i, j in pairs]
    found = questions.cheaper(every, DISTANCES)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    assert questions.cheaper(every[:2], DISTANCES) is None


def test_the_table_has_a_line_for_each_question_and_attack():
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    every = [example(i, j, 60 - DISTANCES[i, j], f"{i}{j}") for i, j in pairs]
    titles = {"deepfool": "DeepFool", "lbfgs_targeted": "L-BFGS"}
    found = questions.table(
        titles, {"deepfool": every}, {"lbfgs_targeted": every}, DISTANCES
    )
    first, second = found.rows
    assert first[1:4] == ["DeepFool", "12", "33.3 % get the nearest class"]
    assert second[1] == "L-BFGS" and second[-1] == "-1.000 [-1.000, -1.000]"


def test_classes_of_near_sounds_are_near():
    time = np.arange(40_000) / 32_000

    def tone(hz, label):
        wave = 9_000 * np.sin(2 * np.pi * hz * time)
        return clips.Clip(f"{hz}", wave.astype(np.int16), label, True, f"{hz}")

    train = [tone(hz, label) for label, hz in enumerate((440, 480, 4_000))]
    sounds = clips.Clips("tones", ("a", "b", "c"), {"train": train}, 32_000)
    found = questions.class_distances(sounds)
    np.testing.assert_allclose(found, found.T)
    assert not np.diag(found).any()
    assert questions.nearest(found)[:2] == [1, 0]
    assert found[0, 1] < found[0, 2] / 2
