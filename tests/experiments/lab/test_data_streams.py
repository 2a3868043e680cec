"""Training on records that stay on disk, and on those that hold audio alone."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from advjax import records
from advjax.defences import gaussian
from advjax.training import Objective, Recipe, TrainingRun, fit
from advjax.training import loop as training_loop
from experiments.lab import data, trainers
from experiments.lab.data import Data
from experiments.lab.task import Task
from tests import record_sets
from tests.record_sets import REPRESENTATION, example, skip_without_writer

RECIPE = Recipe(num_steps=6, batch_size=4, validate_every=3, stop_patience=0)


class Mean(nn.Module):
    """One layer on the mean over time, normalised over the batch."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(x.mean(axis=1).squeeze(-1))
        return nn.Dense(3)(x)


def written(folder, *, file_format="npz", features=True):
    """Records whose features are those of their audio."""
    apply = jax.jit(REPRESENTATION.apply)

    def examples(split, count):
        for index in range(count):
            each = example(split, index)
            wave = each["audio"].astype(np.float32) / 32768
            yield each | {"features": np.asarray(apply(wave))}

    sizes = {"train": 10, "validation": 4, "test": 3}
    splits = {split: examples(split, count) for split, count in sizes.items()}
    record_sets.write(folder, splits, file_format=file_format, features=features)
    return Data(folder=folder, info=records.info(folder))


def fitted(made, at="mfbe", **run):
    return fit(
        Mean(),
        REPRESENTATION,
        made.dataset("train", at),
        made.dataset("validation", at),
        jax.random.key(0),
        labels=record_sets.LABELS,
        objective=Objective(at, gaussian(sigma=0.1)),
        recipe=RECIPE,
        run=TrainingRun(**run),
    )


def test_a_large_split_stays_on_disk_and_gives_the_same_rows(tmp_path, monkeypatch):
    made = written(tmp_path)
    whole = made.dataset("train", "mfbe")
    assert isinstance(whole.x, np.ndarray)
    monkeypatch.setattr(data, "MOST_IN_MEMORY", whole.x.nbytes - 1)
    streamed = made.dataset("train", "mfbe")
    assert isinstance(streamed.x, records.Column)
    np.testing.assert_array_equal(np.asarray(streamed.x), whole.x)
    np.testing.assert_array_equal(streamed.y, whole.y)
    monkeypatch.setattr(data, "MOST_IN_MEMORY", whole.x.nbytes)
    assert isinstance(made.dataset("train", "mfbe").x, np.ndarray)


def test_records_without_features_have_another_identity(tmp_path):
    whole, bare = written(tmp_path / "a"), written(tmp_path / "b", features=False)
    assert whole.digest() == "c534b93c0c8be8af" != bare.digest()
    assert bare.dataset("train", "mfbe").x.dtype == np.int16


def test_stages_are_fitted_on_images_made_of_the_audio(tmp_path):
    seen = []
    for name, features in (("a", True), ("b", False)):
        made = written(tmp_path / name, features=features)
        draft = Task(
            home=tmp_path,
            defence="plain",
            records_folder=str(made.folder),
            front_end=REPRESENTATION,
        ).draft()
        training = draft.training(made, draft.noise)
        seen.append(
            trainers.images_of(training.representation, training.dataset("train"))
        )
    np.testing.assert_allclose(*seen, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("file_format", record_sets.FORMATS)
@pytest.mark.parametrize("at", ["mfbe", "waveform"])
def test_a_streamed_training_ends_with_the_same_weights(
    tmp_path, monkeypatch, file_format, at
):
    skip_without_writer(file_format)
    made = written(tmp_path / "set", file_format=file_format)
    in_memory = fitted(made, at).digest()
    monkeypatch.setattr(data, "MOST_IN_MEMORY", 0)
    assert fitted(made, at).digest() == in_memory
    # Killed after the first validation, and continued.
    judge = training_loop._judge

    def kill(*_):
        raise KeyboardInterrupt

    def once(*arguments):
        monkeypatch.setattr(training_loop, "_judge", kill)
        return judge(*arguments)

    monkeypatch.setattr(training_loop, "_judge", once)
    with pytest.raises(KeyboardInterrupt):
        fitted(made, at, workdir=tmp_path / "work")
    monkeypatch.setattr(training_loop, "_judge", judge)
    assert fitted(made, at, workdir=tmp_path / "work").digest() == in_memory


@pytest.mark.slow
def test_images_made_in_the_step_train_as_stored_ones_up_to_rounding(tmp_path):
    whole, bare = written(tmp_path / "a"), written(tmp_path / "b", features=False)
    pairs = (jax.tree.leaves(fitted(each).variables) for each in (whole, bare))
    for stored, made in zip(*pairs, strict=True):
        np.testing.assert_allclose(stored, made, atol=1e-4)


def test_a_damaged_record_ends_a_streamed_training(tmp_path, monkeypatch):
    made = written(tmp_path)
    monkeypatch.setattr(data, "MOST_IN_MEMORY", 0)
    streamed = made.dataset("train", "mfbe")
    (path,) = tmp_path.rglob("train/features.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(Data, "dataset", lambda self, split, at: streamed)
    with pytest.raises(ValueError, match="record 9 of .* is damaged"):
        fitted(made)
