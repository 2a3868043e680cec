"""Networks overfit a few real clips."""

import csv

import jax
import numpy as np
import pytest

from advjax.defences import plain
from advjax.models import MODELS
from advjax.representations import presets
from advjax.training import Dataset, Objective, Recipe, fit
from data_prep import clips

CLASSES, CLIPS_OF_A_CLASS = 10, 4
IMAGE = presets.stft(scale=14)
SMALL = {
    "alexnet": {"width": 24, "resize": 99},
    "googlenet": {"width": 16, "resize": 64},
    "vgg16": {"width": 8, "resize": 64},
    "resnet18": {"width": 8, "resize": 64},
    "resnet34": {"width": 8, "resize": 64},
    "resnet56": {"width": 8, "resize": 32},
}


@pytest.fixture(scope="module")
def images(advjax_data):
    """Forty clips of ESC-50 as images, and their classes."""
    folder, chosen = advjax_data / "ESC-50", {}
    with open(folder / "meta" / "esc50.csv", newline="") as file:
        for row in csv.DictReader(file):
            if (folder / "audio" / row["filename"]).is_file():
                chosen.setdefault(row["category"], []).append(row["filename"])
    waves, labels = [], []
    for label, category in enumerate(sorted(chosen)[:CLASSES]):
        for name in chosen[category][:CLIPS_OF_A_CLASS]:
            waves.append(clips.decode(folder / "audio" / name)[: IMAGE.num_samples])
            labels.append(label)
    found = jax.jit(lambda waves: jax.lax.map(IMAGE.apply, waves))(np.stack(waves))
    assert len(labels) == CLASSES * CLIPS_OF_A_CLASS
    return Dataset(np.asarray(found), np.asarray(labels, np.int32))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_network_fits_forty_real_clips(name, images):
    recipe = Recipe(
        num_steps=200,
        batch_size=20,
        learning_rate=1e-3,
        schedule="cosine",
        validate_every=20,
        stop_patience=0,
    )
    classifier = fit(
        MODELS[name](num_classes=CLASSES, **SMALL[name]),
        IMAGE,
        images,
        images,
        jax.random.key(0),
        labels=tuple(map(str, range(CLASSES))),
        objective=Objective(at=IMAGE.name, gradients=plain()),
        recipe=recipe,
    )
    logits = jax.jit(jax.vmap(classifier.logits))(images.x)
    assert (np.asarray(logits).argmax(axis=1) == images.y).mean() > 0.95
