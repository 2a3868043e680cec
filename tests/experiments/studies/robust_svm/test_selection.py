import itertools
import json
import types

import jax
import numpy as np
import pytest

from advjax import catalog
from advjax.models import MODELS, SurfSvm
from advjax.representations import Image, Magnitude, Waveform
from advjax.surf_svm import fitting
from experiments.studies.robust_svm import selection

SOFT, HARD, PIXELS = (
    "energy=0.95,centred=False,zones=8,num_words=64,encoder='soft',cost=1",
    "energy=0.99,centred=True,zones=8,num_words=64,encoder='hard',cost=1",
    "encoder='pixels',cost=1",
)


@pytest.mark.parametrize("count", [3, 4, 5, 10])
def test_each_two_folds_are_a_pair_and_each_fold_begins_one(count):
    folds = [*range(1, count)] + [99]
    found = selection.pairs(folds)
    every = {frozenset(pair) for pair in itertools.combinations(folds, 2)}
    assert {frozenset(pair) for pair in found} == every
    assert len(found) == len(every)
    assert {first for first, _ in found} == {*folds}


def test_the_rank_is_of_reduced_images():
    left, right = np.random.default_rng(0).random((2, 3, 20, 3))
    images = np.float32(0.3 * left @ right.transpose(0, 2, 1))
    front = {"boost": None, "denoise": False, "encoder": "pixels"}
    every = SurfSvm(num_classes=2, energy=1 - 1e-9, **front)
    assert selection._median_rank(every, images) == 3
    assert selection._median_rank(every.clone(energy=0.5), images) == 1


def cell(out, pair, recordings, right):
    """A finished cell: recordings of either side, and right clips of the candidates."""
    folder = out / "cells" / selection.path("esc10", pair)
    folder.mkdir(parents=True)
    result = {"recordings": recordings, "right": right}
    step = {
        "settings": {}, "given": None, "result": result, "environment": {},
        "seconds": 1, "peak_gib": 1,
    }  # fmt: skip
    (folder / "cell.json").write_text(json.dumps({"task": {}, "steps": {"one": step}}))


@pytest.fixture
def three(tmp_path):
    """Three folds of two clips; recording r is in folds 1 and 3."""
    names = {1: ["a", "r"], 2: ["b", "c"], 3: ["r", "d"]}
    bits = {  # by candidate: of the clips of each fold, whoever is left out with it
        SOFT: {1: "11", 2: "10", 3: "00"},
        HARD: {1: "10", 2: "01", 3: "11"},
        PIXELS: {1: "00", 2: "00", 3: "00"},
    }
    for pair in selection.pairs((1, 2, 3)):
        sides = dict(zip(("test", "validation"), pair, strict=True))
        cell(
            tmp_path,
            pair,
            {side: names[fold] for side, fold in sides.items()},
            {
                text: {side: of[fold] for side, fold in sides.items()}
                for text, of in bits.items()
            },
        )
    return tmp_path


def test_a_fold_is_chosen_for_by_the_clips_of_the_others(three):
    found = selection.validated(three, "esc10", 1, (1, 2, 3))
    # The clip of r in fold 3 is left out, as fold 1 tests r.
    assert sorted(found.recordings) == ["b", "c", "d"]
    assert found.right[HARD].sum() == 2 and found.right[SOFT].sum() == 1
    assert found.best(selection.SURF) == HARD
    # Where fold 2 is tested, no clip of folds 1 and 3 is left out.
    of_second = selection.validated(three, "esc10", 2, (1, 2, 3))
    assert len(of_second.recordings) == 4
    assert of_second.right[HARD].sum() == 3 and of_second.right[SOFT].sum() == 2


def choice(**options):
    return selection.Choice("esc10", 1, (1, 2, 3), selection.SURF, **options)


def test_the_other_encoder_and_the_plain_machine_have_choices_too(three):
    assert choice().setting(three) == HARD
    assert choice(others=True).setting(three) == SOFT
    plain = selection.Choice("esc10", 1, (1, 2, 3), ("pixels",))
    assert plain.setting(three) == PIXELS
    assert choice(num_candidates=4).setting(three) is None
    (three / "cells/selection/esc10/1-2/cell.json").unlink()
    assert choice().setting(three) is None


def test_a_setting_becomes_options_of_the_model():
    guarded = choice(only=("energy", "centred")).model("guarded(width=8)", HARD)
    assert guarded == "guarded(width=8,energy=0.99,centred=True)"
    without = choice(changes=(("energy", 1),)).model("surf_svm(width=8)", SOFT)
    assert without == (
        "surf_svm(width=8,energy=1,centred=False,zones=8,num_words=64,"
        "encoder='soft',cost=1)"
    )


def test_tables_name_the_choice_and_the_best_of_each_value(three):
    chosen = selection.chosen_table(three, "esc10", (1, 2, 3))
    assert chosen.rows[0][:4] == ["1", "pipeline", HARD, "3"]
    assert len(chosen.rows) == 9
    options = selection.options_table(three, "esc10", (1, 2, 3))
    energies = {row[1]: row[2].split(" ")[0] for row in options.rows[:2]}
    # Of 12 clips in three cells: 2 + 2 + 0 of folds twice each, and 1 + 1 + 2.
    assert energies == {"0.95": "50", "0.99": "67"}


def test_a_program_on_parts_is_that_on_all():
    x = np.arange(7.0)[:, None]
    found = selection._apply(lambda part: (part * 2, part > 3), (x,), 3)
    np.testing.assert_array_equal(found[0], x * 2)
    np.testing.assert_array_equal(found[1], x > 3)


def clips(count=20):
    """Stripes along either axis with noise, to train on and of two folds."""
    generator = np.random.default_rng(0)
    wave = 0.5 + 0.4 * np.sin(np.arange(48) * 0.6)
    y = np.arange(count) % 2
    x = np.stack([np.broadcast_to(wave[:, None] if of else wave, (48, 48)) for of in y])
    x = np.float32(np.clip(x + 0.05 * generator.normal(size=x.shape), 0, 1))
    sides = {"validation": y[10:14], "test": 1 - y[14:]}
    recordings = {side: [*map(str, of)] for side, of in sides.items()}
    return selection._Clips(x, y[:10], sides, recordings, 2)


def job(monkeypatch):
    """A cell of the study on `clips`."""
    monkeypatch.setattr(selection._Clips, "of", lambda task: clips())
    recipe = types.SimpleNamespace(num_steps=2, batch_size=4)
    return types.SimpleNamespace(task=types.SimpleNamespace(recipe=recipe, seed=0))


IMAGES = Image(source=Magnitude(source=Waveform(num_samples=4000)), frames=48, bins=48)
# The labels of the second fold are all wrong on purpose.
ALL_AND_NONE = {"validation": "1111", "test": "000000"}


def test_the_plain_machine_is_validated_on_both_folds(monkeypatch):
    model = "surf_svm(boost=None,energy=1,denoise=False,encoder='pixels',num_words=36)"
    found = selection.ValidatePixels(model, (1.0, 10.0)).run(job(monkeypatch))
    assert found["right"] == {
        "encoder='pixels',cost=1": ALL_AND_NONE,
        "encoder='pixels',cost=10": ALL_AND_NONE,
    }


@pytest.mark.slow
def test_candidates_behind_a_front_are_validated_as_a_fit_would_be(monkeypatch):
    few = selection.Candidates(
        fronts=((0.99, True),), zones=(3,), words=(4,), costs=(1.0,)
    )
    base = "surf_svm(width=2,max_points=16)"
    found = selection.Validate(base, (0.99, True), few).run(job(monkeypatch))
    assert found["rank"] >= 1 and len(found["right"]) == few.count - 1
    assert ALL_AND_NONE in found["right"].values()
    # The same pipeline, fitted as a whole, answers as the candidate does.
    seen = clips()
    for text, right in found["right"].items():
        model = selection.Choice("esc10", 1, (1,), selection.SURF).model(base, text)
        whole = fitting.fit(
            catalog.pick(model, MODELS, num_classes=2),
            IMAGES,
            seen.x[:10, ..., None], seen.y, labels=("a", "b"),
            recipe=fitting.SvmRecipe(num_steps=2, batch_size=4),
        )  # fmt: skip
        logits = jax.jit(jax.vmap(whole.logits))(seen.x[10:, ..., None])
        hits = np.asarray(logits).argmax(axis=1) == np.concatenate(
            [*seen.sides.values()]
        )
        assert "".join("01"[int(hit)] for hit in hits) == "".join(right.values())
