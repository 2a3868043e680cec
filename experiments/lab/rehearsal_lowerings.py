"""Programs for a mesh of devices, built by the functions that run them.

Shapes stand in the place of arrays. Sizes are those of the publication.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from advjax import catalog, smoothing
from advjax.attacks import ATTACKS, Attack
from advjax.attacks.slot_programs import programs as slot_programs
from advjax.attacks.slot_programs import slot_shapes
from advjax.callables import split
from advjax.classifier import Classifier, variable_shapes
from advjax.evaluation.clean import logits_program
from advjax.models import MODELS
from advjax.models.guarded import network_behind
from advjax.optimisers import with_dtype_promotion
from advjax.representations import FRONT_ENDS, Representation
from advjax.runtime.parallel import replicate, split_batch
from advjax.smoothing.counting import scheduler, slots, votes
from advjax.smoothing.counting.placement import DEFAULT_CHUNK
from advjax.surf_svm import fitting
from advjax.surf_svm.autoencoder import Autoencoder
from advjax.training import Objective, Recipe
from advjax.training.steps import Steps
from advjax.types import Batch
from data_prep.build import features_program
from experiments.lab import defences, presets

NUM_CLASSES = 10
SIGMA = 0.25
STAGES = ("waveform", "magnitude", "mfbe")
PRECISIONS = ("float32", "tf32", "bfloat16")


class Lowering(NamedTuple):
    """A function as `jax.jit` returns it, and the shapes of its arguments."""

    function: Any
    arguments: tuple[Any, ...]


def shapes(tree: Any, sharding: Any) -> Any:
    """Shapes of a tree's arrays, with a sharding."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
    )


def _keys(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(
        lambda: jnp.broadcast_to(jax.random.key(0), sizes)  # of their own type
    )


def _classifier(
    model: str = presets.PUBLICATION.model, features: str = "mfbe"
) -> Classifier:
    """A classifier whose weights are shapes."""
    representation = catalog.pick(features, FRONT_ENDS)
    module = catalog.pick(model, MODELS, num_classes=NUM_CLASSES)
    variables = variable_shapes(module, representation.feature_shape)
    labels = tuple(map(str, range(NUM_CLASSES)))
    return Classifier(variables, module, representation, labels)


def _shared(mesh: Mesh) -> Mesh | None:
    """The mesh of a program, as programs choose it: none for one device."""
    return mesh if mesh.size > 1 else None


def counting(at: str, precision: str, mesh: Mesh, tile: int) -> Lowering:
    """Votes of a fixed number of copies of one example."""
    classifier = _classifier()
    stage = classifier.representation.stage(at)
    x = jax.ShapeDtypeStruct(stage.feature_shape, jnp.float32)
    logits_fn = classifier.logits_fn(at, precision=precision)
    noise, shared = smoothing.gaussian(SIGMA), _shared(mesh)
    arrays, static = votes.partition(logits_fn, noise, x, shared)
    bounds = jax.ShapeDtypeStruct((4,), jnp.int32)
    operands = shapes((arrays, x, _keys(), bounds), replicate(mesh))
    return Lowering(votes.count_program(tile, shared), (static, *operands))


def sequential(at: str, precision: str, mesh: Mesh, copies: int) -> Lowering:
    """Votes of several examples, each in tiles of its own."""
    tile = min(smoothing.Sequential().default_tile(), copies)
    tiles_at_once = copies // tile
    classifier = _classifier()
    shape = classifier.representation.stage(at).feature_shape
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    logits_fn = classifier.logits_fn(at, precision=precision)
    noise, shared = smoothing.gaussian(SIGMA), _shared(mesh)
    arrays, static = votes.partition(logits_fn, noise, x, shared)
    num_slots = scheduler.SLOTS_PER_TILE * tiles_at_once * mesh.size
    held = slots.Slots(
        jax.ShapeDtypeStruct((num_slots, *shape), jnp.float32), _keys(num_slots, 2)
    )
    rows = (DEFAULT_CHUNK * mesh.size, tiles_at_once, len(slots.SlotTile._fields))
    listed = jax.ShapeDtypeStruct(rows, jnp.int32)
    num_rows = jax.ShapeDtypeStruct((), jnp.int32)
    operands = shapes((arrays, held, listed, num_rows), replicate(mesh))
    return Lowering(slots.slots_program(tile, shared), (static, *operands))


def attack(name: str, at: str, precision: str, mesh: Mesh, each: int) -> Lowering:
    """A block of steps of an attack, `each` slots on every device."""
    classifier = _classifier()
    stage = classifier.representation.stage(at)
    built = _attack(name, stage)
    arrays, static = split(classifier.logits_fn(at, precision=precision))
    begin, advance, _ = slot_programs(built, _shared(mesh), ynnpack=False)
    taken = slot_shapes(begin, static, arrays, stage.feature_shape, each * mesh.size)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    return Lowering(
        advance.compiled,
        (
            static,
            shapes(arrays, replicate(mesh)),
            *shapes(taken, split_batch(mesh)),
            *shapes((number, number), replicate(mesh)),
        ),
    )


def _attack(name: str, stage: Representation) -> Attack:
    """An attack with the options of its authors."""
    asked = inspect.signature(ATTACKS[name]).parameters
    given = {
        "bounds": stage.bounds,
        "starts": np.zeros((NUM_CLASSES, *stage.feature_shape), np.float32),
        "sample_rate_hz": stage.chain()[0].sample_rate_hz,
    }
    given = {option: value for option, value in given.items() if option in asked}
    return catalog.pick(_OPTIONS.get(name, name), ATTACKS, **given)


_OPTIONS = {
    "noise": "noise(norm='linf')",
    "partial_information": "partial_information(targeted=True)",
}
"""Attacks whose options have no default."""


class Trained(NamedTuple):
    """Input and batch of a network in training.

    Attributes:
        features: its front end.
        batch: examples in a step.
        num_classes: of the corpus.
        stored: examples are int16 audio; else floats at the network's input.
        at: the shape of these floats, where it is not the front end's.
    """

    features: str
    batch: int
    num_classes: int
    stored: bool = True
    at: tuple[int, ...] | None = None


_SPEAKERS = Trained("mfbe", presets.PUBLICATION.recipe.batch_size, NUM_CLASSES)
_IMAGES = Trained("stft_tonnetz(seconds=5.0,sample_rate_hz=8000)", 32, 50)
_CHUNKS = Trained("logmel_chunks", 256, 41, stored=False, at=(128, 64, 1))
_SOUNDS = Trained("waveform(sample_rate_hz=32000,num_samples=65536)", 256, 41)
TRAINED: Mapping[str, Trained] = {
    "rescnn": _SPEAKERS,
    **dict.fromkeys(
        ("alexnet", "googlenet", "vgg16", "resnet18", "resnet34", "resnet56"), _IMAGES
    ),
    **dict.fromkeys(("vgg13", "crnn", "gcnn"), _CHUNKS),
    **dict.fromkeys(("dense_mel", "dense_wav"), _SOUNDS),
    "ge2e": _SPEAKERS._replace(features="ge2e"),
    "silero_vad": Trained("waveform(num_samples=48000)", 96, 2),
    # Its network alone, on purified images.
    "guarded": _IMAGES._replace(stored=False),
}


class FirstStep(NamedTuple):
    """The step that a study takes first, at the publication's size.

    Attributes:
        model: a choice from `MODELS`.
        sizes: its input and batch.
        defence: a choice from `DEFENCES`.
    """

    model: str
    sizes: Trained
    defence: str = "plain"


FIRST_STEPS: Mapping[str, FirstStep] = {
    "adversarial_training": FirstStep(
        "googlenet", Trained("stft(sample_rate_hz=8000,seconds=5.0,scale=1)", 32, 50)
    ),
    "sound_events": FirstStep("vgg13", _CHUNKS, "mixup"),
}
"""Of the first cell of studies, by name; the studies' tests compare them."""


def first_step(study: str, mesh: Mesh, batch: int) -> Lowering:
    """The first step of the first cell of a study."""
    model, sizes, defence = FIRST_STEPS[study]
    return _training_step(model, sizes, defence, "float32", mesh, batch)


def training(
    network: str, defence: str, precision: str, mesh: Mesh, batch: int
) -> Lowering:
    """A step of training."""
    text = presets.PUBLICATION.model if network == "rescnn" else network
    return _training_step(text, TRAINED[network], defence, precision, mesh, batch)


def _training_step(
    text: str, sizes: Trained, defence: str, precision: str, mesh: Mesh, batch: int
) -> Lowering:
    representation = catalog.pick(sizes.features, FRONT_ENDS)
    module = catalog.pick(text, MODELS, num_classes=sizes.num_classes)
    if catalog.parse(text)[0] == "guarded":
        module = network_behind(module.network, sizes.num_classes)
    noise = smoothing.gaussian(SIGMA)
    gradients = defences.gradients(defence, sigma=SIGMA, noise=noise)
    recipe = Recipe(batch_size=batch, precision=precision)
    objective = Objective(representation.name, gradients)
    steps = Steps(module, representation, objective, recipe, mesh)
    shape = sizes.at or representation.feature_shape
    state = jax.eval_shape(steps.begin, variable_shapes(module, shape))
    audio = jax.ShapeDtypeStruct((batch, representation.num_samples), jnp.int16)
    features = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    y = jax.ShapeDtypeStruct((batch,), jnp.int32)
    examples = Batch(audio if sizes.stored else features, y)
    return Lowering(
        steps.train,
        (
            shapes(state, replicate(mesh)),
            shapes(examples, split_batch(mesh)),
            shapes(_keys(), replicate(mesh)),
        ),
    )


def front_end(text: str, mesh: Mesh, clips: int) -> Lowering:
    """Features of several clips."""
    representation = catalog.pick(text, FRONT_ENDS)
    waves = (clips * mesh.size, *representation.chain()[0].feature_shape)
    x = jax.ShapeDtypeStruct(waves, jnp.float32)
    return Lowering(features_program(representation), (shapes(x, split_batch(mesh)),))


PIPELINE = "surf_svm(width=32,num_words=1024,max_points=1024,num_support=2048)"
"""The classical pipeline of its study at the publication's size."""
PIPELINE_IMAGES = "dwt(sample_rate_hz=8000,seconds=5.0,scale=1)"
"""The images of its first cell; the other programs have larger ones."""


def pipeline(
    part: str, mesh: Mesh, images: int, *, features: str = _IMAGES.features
) -> Lowering:
    """A part of the classical pipeline on images."""
    classifier = _classifier(PIPELINE, features)
    module, shape = classifier.module, classifier.representation.feature_shape
    x = jax.ShapeDtypeStruct((images, *shape), jnp.float32)
    whole = functools.partial(shapes, sharding=replicate(mesh))
    if part == "logits":
        arrays, static = split(classifier.logits_fn(classifier.representation.name))
        return Lowering(logits_program(), (static, whole(arrays), whole(x)))
    flat = whole(jax.ShapeDtypeStruct((images, *shape[:2]), jnp.float32))
    if part == "autoencoder":
        recipe = fitting.SvmRecipe()
        optimizer = with_dtype_promotion(optax.adam(recipe.learning_rate))
        net = Autoencoder(module.width)
        step = fitting.autoencoder_step(net, optimizer, recipe.corruption)
        params = jax.eval_shape(net.init, jax.random.key(0), flat)["params"]
        state = jax.eval_shape(optimizer.init, params)
        return Lowering(step, (*whole((params, state)), flat, whole(_keys())))
    stage = {
        "reduce": module.front.reduce_each,
        "describe": functools.partial(jax.lax.map, module.description.describe),
    }[part]
    return Lowering(fitting.stage_program(stage), (flat,))
