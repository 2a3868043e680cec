import fnmatch
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import flagsaver

from advjax import catalog
from advjax.attacks import ATTACKS, run
from advjax.evaluation import Point
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS, LogMelChunks
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from data_prep.corpora.fsdkaggle2018 import LABELS as LABELS_41
from experiments.lab import clips
from experiments.lab.rehearsal_lowerings import FIRST_STEPS
from experiments.lab.rehearsal_programs import PROGRAMS
from experiments.studies.sound_events import answers as answering
from experiments.studies.sound_events import attacks as attacking
from experiments.studies.sound_events import (
    costs,
    jobs,
    published,
    sizes,
    study,
    systems,
)
from experiments.studies.sound_events.answers import CLEAN, UNCHANGED, Answer
from experiments.studies.sound_events.costs import COSTS
from experiments.studies.sound_events.examples import attackable_rows, inflated_snr_db
from experiments.studies.sound_events.features import wave_of_levels

SMALL = sizes.PRESETS["small"]
LABELS = ("dog", "horn", "rain", "hail")
ESC10_PAIR_CLASSES = (
    *("rain", "sea_waves", "crackling_fire", "crying_baby", "sneezing", "clock_tick"),
)


def sounds(*labels, seconds=1.0, recordings=None):
    audio = np.ones(round(32_000 * seconds), np.int16)
    recordings = recordings or [""] * len(labels)
    return [
        clips.Clip(f"clip{i}", audio, label, True, recording)
        for i, (label, recording) in enumerate(zip(labels, recordings, strict=True))
    ]


@pytest.mark.parametrize("size", sizes.PRESETS.values(), ids=sizes.PRESETS)
@pytest.mark.parametrize("select", ["min", "max"])
def test_every_attack_of_a_size_can_be_built(size, select):
    for name, plan in attacking.plans(size, select).items():
        attack = attacking.build(plan.among(10))
        assert attack.any_length
        assert attack.targeted == plan.targeted == name.endswith("targeted")
        assert attack.bounds == (-1.0, 1.0)
        assert catalog.parse(plan.among(41).text.replace("*{n}", ""))[0] in ATTACKS
    size.recipe.optimizer()


def test_an_untargeted_success_is_below_chance():
    plan = attacking.plans(SMALL, "min")["carlini_wagner"]
    assert "probability=0.0244)" in plan.among(41).text  # 1/41, the authors' value
    assert "probability=0.1)" in plan.among(10).text
    others = attacking.plans(SMALL, "min")["lbfgs_targeted"]
    assert others.among(10) == others


def test_the_constant_of_a_mean_becomes_that_of_a_sum():
    text = attacking.plans(SMALL, "min")["carlini_wagner"].among(41).text
    assert "initial_c=0.01*{n}" in text
    # Adam's rate times steps is that of the authors' 1,000 steps of 1e-5.
    _, options = catalog.parse(text.replace("*{n}", ""))
    assert options["learning_rate"] * options["num_steps"] == pytest.approx(0.01)


def test_clips_are_chosen_in_turn_from_every_class():
    chosen = jobs.untargeted_jobs(sounds(0, 0, 0, 1, 2, 2), 4)
    assert [job.sound.label for job in chosen] == [0, 0, 1, 2]
    assert len(jobs.untargeted_jobs(sounds(0, 1), 9)) == 2


def test_clips_are_drawn_by_a_seed_and_not_in_the_order_of_the_table():
    every = sounds(*[0] * 20, *[1] * 20)
    drawn = [
        [job.id for job in jobs.untargeted_jobs(every, 6, seed=seed)]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    places = [job.place for job in jobs.untargeted_jobs(every, 6, seed=0)]
    assert places != [0, 1, 2, 20, 21, 22]


def test_a_second_clip_of_a_recording_comes_after_all_recordings():
    every = sounds(0, 0, 0, 0, 0, 0, recordings=[*"aaaabc"])
    for seed in range(5):
        chosen = jobs.untargeted_jobs(every, 3, seed=seed)
        assert {job.sound.recording for job in chosen} == {*"abc"}


def test_pair_classes_are_the_publications_where_the_corpus_has_them():
    assert jobs.pair_classes(LABELS_41, range(41), 6) == published.PAIR_CLASSES
    present = {LABELS_41.index(name) for name in ("Oboe", "Cello", "Bark")}
    assert jobs.pair_classes(LABELS_41, present, 6) == ("Cello", "Oboe")


def test_pair_classes_of_another_corpus_are_drawn_once():
    labels = (
        *("dog", "rooster", "rain", "sea_waves", "crackling_fire", "crying_baby"),
        *("sneezing", "clock_tick", "helicopter", "chainsaw"),
    )
    found = jobs.pair_classes(labels, range(10), 6)
    assert found == ESC10_PAIR_CLASSES
    assert found == tuple(name for name in labels if name in found)


def test_each_pair_has_clips_of_its_own_as_long_as_there_are_enough():
    every = sounds(*[0] * 4, *[1] * 2, 2)
    own = jobs.targeted_jobs(every, LABELS, LABELS[:3], 1)
    of = {}
    for job in own:
        of.setdefault(job.sound.label, []).append(job.place)
    assert len(set(of[0])) == 2 and len(set(of[1])) == 2 and len(of[2]) == 2
    shared = jobs.targeted_jobs(every, LABELS, LABELS[:3], 2, shared=True)
    places = [job.place for job in shared if job.sound.label == 0]
    assert len(places) == 4 and len(set(places)) == 2


def test_targets_are_every_ordered_pair_of_classes():
    found = jobs.targeted_jobs(sounds(0, 0, 1, 2), LABELS, LABELS[:3], 1)
    pairs = [(job.sound.label, job.target) for job in found]
    assert sorted(pairs) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert len({job.id for job in found}) == 6


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["dog", "dog"], "cannot be led to its own label"),
        (["dog"], "at least two"),
        (["dog", "cat"], "no cat; there are: dog"),
        (["dog", "hail"], "no clip of hail"),
    ],
)
def test_a_target_that_is_the_label_is_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        jobs.targeted_jobs(sounds(0, 1, 2), LABELS, classes, 1)


def test_the_inflated_ratio_squares_a_mean():
    x = np.float32([0.5, -0.5, 0.5, -0.5])
    delta = np.float32([0.1, 0.1, 0.1, -0.1])
    right = 10 * math.log10(0.25 / 0.01)
    assert inflated_snr_db(x, x + delta) == pytest.approx(right + 10 * math.log10(4))


def attack_row(id, *, label, clean, target=-1):
    fields = dict.fromkeys(AttackRow._fields, 0.0)
    fields |= {"id": id, "label": label, "clean": clean, "target": target}
    return AttackRow(**fields)


def test_clips_without_anything_to_reach_are_left_out_of_a_networks_rows():
    rows = [
        attack_row("right", label=1, clean=1),
        attack_row("wrong", label=1, clean=2),
        attack_row("led away", label=1, clean=1, target=2),
        attack_row("wrong, and led elsewhere", label=1, clean=0, target=2),
        attack_row("there", label=1, clean=2, target=2),
    ]
    found = attackable_rows(ATTACK_ROWS.rows(rows))
    assert found.id == ("right", "led away")
    assert len(found.label) == 2


def answers(judge, *, moved):
    """Answers 0 to the clean clips; `moved` says which examples get a 1."""
    yield Answer(CLEAN, CLEAN, UNCHANGED, "a", 0)
    yield Answer(CLEAN, CLEAN, UNCHANGED, "b", 0)
    yield Answer(CLEAN, CLEAN, "mp3()", "a", 0)
    yield Answer(CLEAN, CLEAN, "mp3()", "b", 2)
    for source, attack, transform, id, answer in moved:
        yield Answer(source, attack, transform, id, answer)


def test_transfer_pools_two_attacks_and_counts_changes_of_the_own_answer():
    labels = {"a": 0, "b": 1}  # everybody gets b wrong
    found = answering.transfer_shares(
        {
            "one": [*answers("one", moved=[])],
            "two": [
                *answers(
                    "two",
                    moved=[
                        ("one", "deepfool", UNCHANGED, "a", 1),
                        ("one", "carlini_wagner", UNCHANGED, "a", 0),
                        ("one", "carlini_wagner", UNCHANGED, "b", 1),
                        ("one", "lbfgs_targeted", UNCHANGED, "b>x", 1),
                        ("one", "deepfool", "mp3()", "a", 1),
                    ],
                )
            ],
        },
        labels,
        {"a": "recording"},
    )
    moved = found["two", "one"]
    assert moved.hits.tolist() == [[True, False]]
    assert moved.clusters == ("recording", "recording")
    assert found["one", "two"].total == 0


def test_survival_counts_own_examples_that_return_and_clean_clips_that_stay():
    rows = answers(
        "one",
        moved=[
            ("one", "deepfool", "mp3()", "a", 0),
            ("one", "deepfool", "mp3()", "b", 1),
            ("two", "deepfool", "mp3()", "b", 0),
            ("one", "lbfgs_targeted", "mp3()", "b>x", 0),
        ],
    )
    found = answering.survival_shares({"one": [*rows]}, {})
    counts = {key: (share.hits.sum(), share.total) for key, share in found.items()}
    assert counts["mp3()", "deepfool"] == (1, 2)
    assert counts["mp3()", "lbfgs_targeted"] == (1, 1)
    assert ("mp3()", "carlini_wagner") not in found
    assert counts["mp3()", CLEAN] == (1, 2)
    assert found["mp3()", "lbfgs_targeted"].clusters == ("b",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"corpus_dir": None}, "not part of this package"),
        ({"corpus": "voices", "corpus_dir": None}, "no clips of sound events"),
        ({"models": ["vgg99"]}, "no vgg99; there are: vgg13"),
        ({"share": "2/2"}, "write I/N"),
        ({"pair_classes": ["Cello", "Cello"]}, "cannot be led to its own label"),
        ({"cells": "vgg13/none"}, "matches no cell"),
        ({"max_seconds": 0.01}, "no clip"),
        ({"feature_level": ["dense_wav"]}, "no network on log-mels; these are: vgg13"),
        ({"models": ["vgg13"], "share": "1/2"}, "leaves no cell"),
    ],
)
def test_wrong_choices_are_told_before_any_training(
    advjax_data, tmp_path, given, message
):
    folder = {"corpus_dir": str(advjax_data / "FSDKaggle2018")}
    corpus = {"corpus": "fsdkaggle2018(classes=('Cello','Flute'))"}
    where = {"home": str(tmp_path), "out": str(tmp_path / "out")}
    with (
        flagsaver.flagsaver(**(folder | corpus | where | given)),
        pytest.raises(ValueError, match=message),
    ):
        study.main()
    assert not (tmp_path / "classifiers").exists()


def test_a_sign_step_has_20_db_though_silence_has_no_gradient():
    @jax.tree_util.Partial
    def logits_fn(x):
        return jnp.stack([jnp.sum(x[:50] * jnp.arange(50.0)) / 1000, jnp.float32(0)])

    x = np.zeros(100, np.float32)
    x[:50] = 0.3
    point = Point(0, "a", x, 0)
    attack = attacking.build(attacking.plans(SMALL, "min")["fgsm"])
    (budget,) = attacking._budgets(attack, [point], logits_fn)
    found = run(
        attack, logits_fn, jnp.asarray(x), jnp.int32(0), jax.random.key(0), budget
    )
    delta = np.asarray(found.x_adv) - x
    # The gradient of one entry of 50 is zero, too.
    ratio = np.mean(x**2) / np.mean(delta**2)
    assert 10 * np.log10(ratio) == pytest.approx(20.0, abs=0.01)
    silent = point._replace(x=np.zeros(100, np.float32))
    assert attacking._budgets(attack, [silent], logits_fn) == [0.0]


def test_untargeted_attacks_on_all_networks_come_first():
    names = [cell.path for cell in study.cells(SMALL)]
    assert names[:6] == [
        *(f"vgg13/{work}" for work in ("clean", "noise", "fgsm", "deepfool")),
        *("vgg13/carlini_wagner", "crnn/clean"),
    ]
    last = max(names.index(f"{name}/carlini_wagner") for name in systems.KINDS)
    assert names.index("classes") == last + 1
    assert names.index("vgg13/carlini_wagner_targeted") == last + 2
    assert names[-1] == "example" and names.count("vgg13/features") == 1


def test_the_rehearsal_compiles_the_first_step_of_the_publications_grid():
    size = sizes.sized(sizes.PRESETS["publication"])
    first = study.cells(size)[0].path.partition("/")[0]
    kind = systems.KINDS[first]
    model, trained, defence = FIRST_STEPS[study.STUDY.name]
    assert (model, defence) == (kind.network, "mixup")
    assert kind.masking is None
    assert catalog.pick(trained.features, FRONT_ENDS) == kind.front_end
    assert trained.batch == size.recipe.batch_size
    assert trained.num_classes == len(LABELS_41)
    width = round(kind.full_width * size.width_share)
    assert MODELS[model](num_classes=41).width == width
    assert f"study-{study.STUDY.name}" in PROGRAMS


@pytest.mark.parametrize("preset", COSTS)
def test_every_cell_has_a_cost_of_its_network(preset):
    size = sizes.sized(sizes.PRESETS[preset])
    names = [cell.path for cell in study.cells(size)]
    for name in names:
        found = next(p for p in COSTS[preset] if fnmatch.fnmatchcase(name, p))
        assert "/" not in name or found != "*", name


def test_the_publications_cost_is_that_of_its_passes():
    size = sizes.PRESETS["publication"]
    assert size.recipe.batch_size == costs.BATCH
    assert size.recipe.num_steps == costs.NUM_STEPS
    assert costs.NUM_CLIPS == size.num_clips == published.NUM_CLIPS
    classes = len(published.PAIR_CLASSES)
    assert classes * (classes - 1) * size.clips_per_pair == costs.NUM_PAIRS
    for name, plan in attacking.plans(size, "min").items():
        _, options = catalog.parse(plan.among(41).text.replace("*{n}", ""))
        if "num_searches" in options:
            most = options["num_searches"] * options["num_steps"]
            assert costs.ATTACKS[name][1] == most
    for name in ("carlini_wagner", "lbfgs_targeted"):
        _, options = catalog.parse(
            attacking.plans(SMALL, "min")[name].among(10).text.replace("*{n}", "")
        )
        most = options["num_searches"] * options["num_steps"]
        assert costs.SMALL_PASSES[name] == SMALL.num_clips * most


@pytest.mark.slow
def test_two_networks_on_real_clips(advjax_data, tmp_path, capsys):
    given = {
        "corpus": "fsdkaggle2018(classes=('Bass_drum','Cello'))",
        "corpus_dir": str(advjax_data / "FSDKaggle2018"),
        "home": str(tmp_path / "home"),
        "out": str(tmp_path / "out"),
        "models": ["vgg13", "dense_wav"],
        "width_share": 1 / 16,
        "num_steps": 10,
        "batch_size": 8,
        "num_points": 2,
        "cw_steps": 5,
        "max_seconds": 4.0,
        "transforms": False,
    }
    with flagsaver.flagsaver(**given):
        study.main()
        told = capsys.readouterr()
        study.main()
        again = capsys.readouterr()
    for title in (
        *("Claims of the publication", "Table 1", "Table 2", "Table 3", "Table 4"),
        *("The two questions", "Table 5", "Table 7"),
    ):
        assert f"## {title}" in told.out
    assert again.out == told.out
    assert "train:" in told.err and "train:" not in again.err
    cells = tmp_path / "out/cells"
    assert len(list(cells.glob("*/*/rows.tsv"))) == 12
    # What a training keeps for the case of a kill is gone.
    assert len(list((tmp_path / "home/classifiers").iterdir())) == 2


@pytest.mark.slow
def test_clean_levels_that_are_played_have_nearly_their_levels_again():
    front_end = LogMelChunks()
    time = np.arange(65_536) / 32_000
    wave = sum(np.sin(2 * np.pi * f * time) * 0.1 for f in (440, 1320, 3000))
    wave = (wave * np.exp(-2 * time)).astype(np.float32)
    levels = np.asarray(front_end.levels(jnp.asarray(wave)))
    loudest = float(front_end.band_power(jnp.asarray(wave)).max()) + front_end.floor
    played = wave_of_levels(levels, loudest, front_end)
    assert played.shape == wave.shape
    again = np.asarray(front_end.levels(jnp.asarray(played)))
    loud = levels > -30
    assert np.abs(again - levels)[loud].mean() < 1.5
    # Not the wave itself: its phases are lost.
    assert np.abs(played - wave).max() > 0.05
