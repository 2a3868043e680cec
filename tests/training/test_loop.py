import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from advjax.defences import gaussian, plain
from advjax.representations import Magnitude, MelEnergies, Waveform
from advjax.runtime.parallel import data_mesh, split_batch
from advjax.training import (
    Dataset,
    Objective,
    Recipe,
    TrainingRun,
    batches,
    best_weights,
    checkpoints,
    fit,
    loop,
)
from advjax.training.steps import map_over_mesh

WAVE = Waveform(num_samples=32)
RECIPE = Recipe(
    num_steps=40, batch_size=16, learning_rate=1e-2, validate_every=10, stop_patience=0
)


class Tiny(nn.Module):
    """A network with batch norm, dropout and two layers: every kind of state."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.relu(nn.Dense(8)(x))
        x = nn.Dropout(0.2, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)


def problem(seed, count=64):
    """Two classes that differ in their mean."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count).astype(np.int32)
    x = rng.normal(0, 1, (count, 32)) + np.where(y, 0.5, -0.5)[:, None]
    return Dataset(x.astype(np.float32), y)


class Plain(nn.Module):
    """A network without batch norm, with an auxiliary head in training."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.relu(nn.Dense(8)(x))
        logits, auxiliary = nn.Dense(2)(x), nn.Dense(2)(x)
        return (logits, auxiliary) if train else logits


def train(recipe=RECIPE, gradients=None, module=None, judge=None, **run):
    return fit(
        module or Tiny(),
        WAVE,
        problem(0),
        problem(1),
        jax.random.key(0),
        labels=("low", "high"),
        objective=Objective("waveform", gradients or plain(), judge),
        recipe=recipe,
        run=TrainingRun(**run),
    )


@functools.cache
def trained():
    """A classifier of `train` without options."""
    return train()


def weights(classifier):
    return jax.tree.leaves(classifier.variables)


def test_fit_learns_a_separable_problem():
    classifier = trained()
    test = problem(2, 400)
    logits = jax.jit(jax.vmap(classifier.logits))(test.x)
    assert (np.asarray(logits).argmax(axis=1) == test.y).mean() > 0.95


def test_same_seed_same_weights_other_order_other_weights():
    for a, b in zip(weights(trained()), weights(train()), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        (a != b).any()
        for a, b in zip(weights(trained()), weights(train(seed=1)), strict=True)
    )


@pytest.mark.parametrize("num_averaged", [1, 2])
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path, monkeypatch, num_averaged
):
    recipe = dataclasses.replace(RECIPE, num_averaged=num_averaged)
    whole = train(recipe, gradients=gaussian(sigma=0.3))
    judged = []

    def stop_at_the_second(*args):
        judged.append(1)
        if len(judged) == 3:
            raise KeyboardInterrupt
        return judge(*args)

    judge = loop._judge
    monkeypatch.setattr(loop, "_judge", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, gradients=gaussian(sigma=0.3), workdir=tmp_path)
    monkeypatch.setattr(loop, "_judge", judge)
    again = train(recipe, gradients=gaussian(sigma=0.3), workdir=tmp_path)
    for a, b in zip(weights(whole), weights(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_result_has_the_mean_weights_of_the_validated_steps():
    def after(num_steps):
        one = dataclasses.replace(RECIPE, num_steps=num_steps, validate_every=num_steps)
        return weights(train(one))

    each = zip(*map(after, (10, 20, 30, 40)), strict=True)
    found = weights(train(dataclasses.replace(RECIPE, num_averaged=4)))
    for mean, parts in zip(found, each, strict=True):
        np.testing.assert_allclose(mean, np.mean(parts, axis=0), rtol=1e-6)
        assert mean.dtype == parts[0].dtype
    # A training with fewer validations averages what there is.
    few = dataclasses.replace(RECIPE, num_steps=10, num_averaged=4)
    for mean, part in zip(weights(train(few)), after(10), strict=True):
        np.testing.assert_array_equal(mean, part)


def test_a_better_validation_takes_the_place_of_the_worst():
    log, places = checkpoints.Log(), []
    for accuracy, loss in [(0.5, 1), (0.7, 1), (0.6, 1), (0.4, 1), (0.6, 0.9)]:
        log.history.append({"step": 0, "accuracy": accuracy, "loss": loss})
        places.append(best_weights.free_slot(log, 2))
    assert places == [0, 1, 0, None, 0]
    assert [each["loss"] for each in log.kept] == [0.9, 1]


def test_an_observer_sees_steps_and_validations_and_changes_no_weights():
    seen = []
    watched = train(observe=lambda step, found: seen.append((step, found)))
    assert [step for step, _ in seen] == [10, 10, 20, 20, 30, 30, 40, 40]
    (_, first), (_, validated) = seen[:2]
    assert first.keys() == {"train/loss", "train/accuracy", "train/learning_rate"}
    assert first["train/learning_rate"] == 1e-2
    assert validated.keys() == {"validation/accuracy", "validation/loss"}
    assert all(isinstance(v, float) for _, found in seen for v in found.values())
    for a, b in zip(weights(watched), weights(trained()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_observed_rate_is_the_optimisers():
    def rate(schedule, step):
        recipe = Recipe(num_steps=100, schedule=schedule, decay_every=10)
        state = recipe.optimizer().init({"w": jnp.zeros(2)})
        for _ in range(step + 1):  # Adam's steps of a constant gradient are the rate.
            grads = {"w": jnp.ones(2)}
            updates, state = recipe.optimizer().update(grads, state, grads)
        return float(-updates["w"][0]), recipe.rate_at(step)

    for schedule in ("plateau", "cosine", "staircase"):
        for step in (0, 3, 12):
            assert np.allclose(*rate(schedule, step), rtol=1e-4), (schedule, step)


def test_a_network_without_statistics_is_trained_kept_and_continued(tmp_path):
    plain_network = Plain()
    whole = train(module=plain_network)
    assert set(whole.variables) == {"params"}
    test = problem(2, 400)
    logits = jax.jit(jax.vmap(whole.logits))(test.x)
    assert (np.asarray(logits).argmax(axis=1) == test.y).mean() > 0.9
    half = dataclasses.replace(RECIPE, num_steps=20)
    train(half, module=plain_network, workdir=tmp_path)
    again = train(module=plain_network, workdir=tmp_path)
    assert again.digest() == whole.digest()


def test_a_finished_training_is_not_trained_further(tmp_path, monkeypatch):
    first = train(workdir=tmp_path)
    monkeypatch.setattr(loop, "batch_rows", None)  # a further step would fail
    for a, b in zip(weights(first), weights(train(workdir=tmp_path)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train(workdir=tmp_path, settings="one")
    with pytest.raises(ValueError, match="other settings"):
        train(workdir=tmp_path, settings="two")


def test_a_training_whose_checkpoint_was_cut_short_starts_anew(tmp_path, capsys):
    train(workdir=tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.stat().st_size > 200:
            path.write_bytes(path.read_bytes()[:100])
    assert train(workdir=tmp_path).digest() == trained().digest()
    assert "is damaged" in capsys.readouterr().err


def test_int16_audio_trains_at_the_stage_it_is_told(tmp_path):
    audio = Dataset((problem(0).x * 4000).astype(np.int16), problem(0).y)
    floats = Dataset(audio.x.astype(np.float32) / 32768, audio.y)
    found = []
    for data in (audio, floats):
        classifier = fit(
            Tiny(),
            WAVE,
            data,
            data,
            jax.random.key(0),
            labels=("low", "high"),
            objective=Objective("waveform", plain()),
            recipe=dataclasses.replace(RECIPE, num_steps=5, validate_every=5),
        )
        found.append(weights(classifier))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_plateau_halves_the_rate_and_stops_early(tmp_path):
    recipe = dataclasses.replace(
        RECIPE,
        num_steps=400,
        schedule="plateau",
        validate_every=1,
        plateau_patience=2,
        stop_patience=5,
    )
    seen = []
    judge = loop._judge

    def watch(state, log, *args):
        state = judge(state, log, *args)
        seen.append((float(state.rate_scale), log.gainless))
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_judge", watch)
        train(recipe=recipe)
    assert len(seen) < 400
    assert seen[-1][1] == 5
    assert seen[-1][0] <= 0.5


def test_l2_reaches_convolution_kernels_alone():
    params = {"conv": jnp.ones((3, 3, 1, 2)), "dense": jnp.ones((4, 4))}
    optimizer = Recipe(weight_decay=0.5, schedule="plateau").optimizer()
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    assert np.abs(updates["conv"]).min() > 0
    assert np.abs(updates["dense"]).max() == 0


def test_validation_takes_as_many_examples_as_it_is_told_all_over_the_split():
    seen = []

    def judge(apply, params, batch_stats, batch, key):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), batch.x)
        return plain()(apply, params, batch_stats, batch, key)

    recipe = dataclasses.replace(
        RECIPE, num_steps=1, validate_every=None, num_validation=8
    )
    train(recipe=recipe, judge=judge)
    jax.effects_barrier()
    (rows,) = seen
    np.testing.assert_array_equal(rows, problem(1).x[[0, 9, 18, 27, 36, 45, 54, 63]])


def test_a_diverging_loss_is_an_error():
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30)
    with pytest.raises(ValueError, match="lower the learning rate"):
        train(recipe=recipe)


def test_impossible_recipes_are_refused():
    with pytest.raises(ValueError, match="cosine, plateau or staircase"):
        Recipe(schedule="linear")
    with pytest.raises(ValueError, match="num_steps"):
        Recipe(num_steps=0)
    with pytest.raises(ValueError, match="choose one of float32, tf32, bfloat16"):
        Recipe(precision="float16")
    with pytest.raises(ValueError, match="fewer than one batch"):
        train(recipe=dataclasses.replace(RECIPE, batch_size=100))


class Narrow(nn.Module):
    """One layer in the type of its input, as Flax's own is not."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (32, 2))
        return x @ kernel.astype(x.dtype)


def test_a_precision_is_part_of_a_trainings_identity_unless_it_is_float32():
    assert "precision" not in RECIPE.settings()
    coarse = dataclasses.replace(RECIPE, precision="bfloat16")
    assert coarse.settings() == RECIPE.settings() | {"precision": "bfloat16"}
    (found,), (fine,) = (
        weights(train(recipe, module=Narrow())) for recipe in (coarse, RECIPE)
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, fine, atol=0.02)
    assert (found != fine).any()


class Mean(nn.Module):
    """The mean over time and one layer, normalised over the batch."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(x.mean(axis=1).squeeze(-1))
        return nn.Dense(2)(x)


def fit_on_audio(devices, monkeypatch):
    """A few steps on noisy audio through a whole chain, by these devices."""
    chain = MelEnergies(
        source=Magnitude(source=Waveform(num_samples=2000)), num_bands=8
    )
    rng = np.random.default_rng(5)
    audio = rng.integers(-8000, 8000, (32, 2000)).astype(np.int16)
    data = Dataset(audio, rng.integers(0, 2, 32).astype(np.int32))
    monkeypatch.setattr(loop, "devices_for", lambda *_: devices)
    return fit(
        Mean(),
        chain,
        data,
        data,
        jax.random.key(0),
        labels=("a", "b"),
        objective=Objective("waveform", gaussian(sigma=0.01)),
        recipe=dataclasses.replace(RECIPE, num_steps=6, validate_every=3),
    )


def test_more_devices_change_rounding_alone(monkeypatch):
    one, four = (weights(fit_on_audio(jax.devices()[:n], monkeypatch)) for n in (1, 4))
    for a, b in zip(one, four, strict=True):
        # Six steps of Adam at 0.01, whose first ones divide by small moments.
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_device_transforms_its_own_examples():
    mesh = data_mesh(jax.devices()[:4])
    x = jax.device_put(np.ones((8, 64), np.float32), split_batch(mesh))

    def gathers(function):
        return "all-gather" in jax.jit(function).lower(x).compile().as_text()

    assert not gathers(lambda x: map_over_mesh(jnp.fft.rfft, x, mesh))
    # From JAX 0.12 on XLA splits Fourier transforms by itself. Once no earlier JAX is
    # supported, `map_over_mesh` can be removed.
    if jax.__version_info__ < (0, 12):
        assert gathers(jax.vmap(jnp.fft.rfft))


def test_processes_share_a_batch_equally(monkeypatch):
    # Four devices of this process and three of another.
    devices = [types.SimpleNamespace(id=i, process_index=i // 4) for i in range(7)]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    ids = [device.id for device in batches.devices_for(12)]
    assert ids == [0, 1, 2, 4, 5, 6]
    assert [device.id for device in batches.devices_for(8)] == [0, 1, 4, 5]
    # Two processes cannot split nine examples, so each trains by itself.
    assert [device.id for device in batches.devices_for(9)] == [0, 1, 2]


def test_the_staircase_falls_to_nine_tenths_at_once_and_after_every_stretch():
    recipe = Recipe(
        schedule="staircase", decay_every=3, learning_rate=0.5, weight_decay=0.0
    )
    optimizer = recipe.optimizer()
    params = {"w": jnp.ones(1)}
    state = optimizer.init(params)
    # Adam's step on a constant gradient is the rate itself.
    for step in range(8):
        updates, state = optimizer.update({"w": jnp.ones(1)}, state, params)
        rate = 0.5 * 0.9 ** (step // 3 + 1)
        assert float(-updates["w"][0]) == pytest.approx(rate, rel=1e-4)


def test_balanced_batches_draw_every_class_alike_and_every_example_of_it():
    labels = np.asarray([0] * 90 + [1] * 9 + [4])
    recipe = dataclasses.replace(RECIPE, balanced=True, batch_size=300)
    rows = batches.batch_rows(labels, recipe, 0, 5)
    shares = [(labels[rows] == label).mean() for label in (0, 1, 4)]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.09)
    assert set(range(90, 100)) <= set(rows.tolist())
    np.testing.assert_array_equal(rows, batches.batch_rows(labels, recipe, 0, 5))
    assert (rows != batches.batch_rows(labels, recipe, 0, 6)).any()


def test_weights_are_chosen_by_the_judge_and_not_by_the_defence():
    def failing(apply, params, batch_stats, batch, key):
        found = plain()(apply, params, batch_stats, batch, key)
        zero = {name: 0.0 * value for name, value in found.metrics.items()}
        return found._replace(metrics=zero)

    recipe = dataclasses.replace(
        RECIPE, validate_every=10, schedule="plateau", plateau_patience=99
    )
    # With equal accuracies throughout, the first weights stay the best.
    found = train(recipe=recipe, judge=failing)
    first = train(recipe=dataclasses.replace(recipe, num_steps=10))
    assert found.digest() == first.digest() != train(recipe=recipe).digest()
