"""Every product that a network is evaluated, attacked or trained by has a precision.

JAX's default, where nobody chose one, is tf32 on a GPU and bfloat16 on a TPU.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from advjax.attacks import ATTACKS, run
from advjax.classifier import Classifier
from advjax.defences import DEFENCES
from advjax.layers.base import Network
from advjax.layers.blocks import BatchNorm, Conv, clipped_relu
from advjax.representations import REPRESENTATIONS, MelEnergies
from advjax.runtime.parallel import data_mesh
from advjax.training import Objective, Recipe
from advjax.training.steps import Steps
from advjax.types import Batch
from tests.conformance.test_attacks import SMALL as ATTACK_OPTIONS
from tests.conformance.test_defences import OPTIONS as DEFENCE_OPTIONS
from tests.conformance.test_models import INPUTS, MODELS, small
from tests.models.shapes import variable_shapes


class Shallow(Network):
    """Each kind of layer once; traced in no time."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, x, *, train):
        x = clipped_relu(BatchNorm()(Conv(2, 5, 2)(x), train=train))
        return nn.Dense(self.num_classes)(x.mean(axis=(1, 2), dtype=jnp.float32))


def without_precision(jaxpr):
    """Names of products and convolutions whose precision is the backend's default."""
    products = ("dot_general", "conv_general_dilated")
    unset = (None, lax.Precision.DEFAULT, (lax.Precision.DEFAULT,) * 2)
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in products and equation.params["precision"] in unset:
            yield f"{name} {[v.aval.shape for v in equation.invars]}"
        for value in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda each: hasattr(each, "jaxpr") or hasattr(each, "eqns"),
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from without_precision(inner)


def count(jaxpr):
    return str(jaxpr).count("precision=")


def classifier_of(network, representation):
    x = jnp.zeros((1, *representation.feature_shape))
    variables = jax.tree.map(
        lambda leaf: jnp.ones(leaf.shape, leaf.dtype), variable_shapes(network, x)
    )
    return Classifier(variables, network, representation, ("a", "b", "c"))


def attack_of(name, size):
    options = dict(ATTACK_OPTIONS.get(name, {}))
    if "starts" in options:
        options |= {"starts": np.zeros((3, *size), np.float32)}
    options |= {"targeted": True} if name == "partial_information" else {}
    return ATTACKS[name](bounds=(-1.0, 1.0), **options)


def check_attack(name, classifier, at):
    stage = classifier.representation.stage(at)
    attack = attack_of(name, stage.feature_shape)
    x = jnp.zeros(stage.feature_shape)
    found = jax.make_jaxpr(functools.partial(run, attack, classifier.logits_fn(at)))(
        x, jnp.int32(0), jax.random.key(0), jnp.float32(1)
    )
    assert count(found) > 2
    assert list(without_precision(found.jaxpr)) == []


FROM_WAVES = ("pgd", "deepfool", "carlini_wagner", "lbfgs", "nes", "imperceptible")


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_has_one(name):
    at = "waveform" if name in FROM_WAVES else "mfbe"
    check_attack(name, classifier_of(Shallow(), MelEnergies()), at)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_every_front_end_has_one_in_both_directions(name):
    stage = REPRESENTATIONS[name]()
    wave = jnp.zeros(stage.chain()[0].feature_shape)

    def both(x, cotangent):
        found, pull = jax.vjp(stage.apply, x)
        return found, pull(cotangent)

    cotangent = jnp.zeros(stage.feature_shape)
    found = jax.make_jaxpr(both)(wave, cotangent)
    assert list(without_precision(found.jaxpr)) == []


def training_step(module, defence, shape, precision="float32"):
    """The jaxpr of a training step on four examples."""
    recipe = Recipe(batch_size=4, precision=precision)
    objective = Objective("mfbe", DEFENCES[defence](**DEFENCE_OPTIONS.get(defence, {})))
    mesh = data_mesh(jax.devices()[:1])
    steps = Steps(module, MelEnergies(), objective, recipe, mesh)
    x = jax.ShapeDtypeStruct((4, *shape), jnp.float32)
    state = jax.eval_shape(steps.begin, variable_shapes(module, x))
    batch = Batch(x, jax.ShapeDtypeStruct((4,), jnp.int32))
    return steps.train.trace(state, batch, jax.random.key(0)).jaxpr


@pytest.mark.parametrize("defence", DEFENCES)
def test_the_training_step_of_every_defence_has_one(defence):
    found = training_step(Shallow(), defence, (20, 8, 1))
    assert count(found) > 6
    assert list(without_precision(found.jaxpr)) == []


def test_in_bfloat16_maps_are_narrow_and_statistics_are_not():
    found = training_step(Shallow(), "fused_adversarial", (20, 8, 1), "bfloat16")
    assert list(without_precision(found.jaxpr)) == []
    assert "bf16[4,10,4,2] = conv_general_dilated" in str(found)
    assert {aval.dtype for aval in found.out_avals} == {
        np.dtype(np.int32),
        np.dtype(np.float32),
    }


# The others have no other layers.
FEW = ("rescnn", "crnn")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(name, precision, marks=[] if is_first else [pytest.mark.slow])
        for name in MODELS
        if name not in ("surf_svm", "guarded")
        for precision in ("float32", "bfloat16")
        for is_first in [name in FEW and precision == "float32"]
    ],
)
def test_the_training_step_of_every_network_has_one(name, precision):
    shape = INPUTS.get(name, (160, 64, 1))
    found = training_step(small(name), "fused_adversarial", shape, precision)
    assert list(without_precision(found.jaxpr)) == []


@pytest.mark.slow
@pytest.mark.parametrize("at", ["mfbe", "magnitude", "waveform"])
@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_on_rescnn_has_one(name, at):
    if name == "imperceptible" and at != "waveform":
        pytest.skip("it perturbs waveforms")
    check_attack(name, classifier_of(small("rescnn"), MelEnergies()), at)


def test_a_product_without_one_is_found():
    def inside(x):
        return lax.fori_loop(0, 3, lambda _, x: x @ x, x)

    found = jax.make_jaxpr(jax.jit(inside))(jnp.eye(3))
    assert list(without_precision(found.jaxpr)) != []
