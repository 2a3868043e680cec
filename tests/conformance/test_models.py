"""Every network keeps the contract of `advjax.models`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.checkpoint import describe_module
from advjax.models import MODELS
from tests.models.shapes import drawn, variable_shapes

SMALL = {
    "rescnn": {"width": 2, "embedding_size": 8},
    "alexnet": {"width": 12, "resize": 35},
    # Smaller maps leave a layer of some seeds without a single positive entry.
    "googlenet": {"width": 8, "resize": 64},
    "vgg16": {"width": 4, "resize": 16},
    "resnet18": {"width": 4, "resize": 16},
    "resnet34": {"width": 4, "resize": 16},
    "resnet56": {"width": 4, "resize": 16},
    "vgg13": {"width": 2},
    "crnn": {"width": 2},
    "gcnn": {"width": 2},
    "dense_mel": {"width": 2},
    "dense_wav": {"width": 2},
    "ge2e": {"width": 4},
    "silero_vad": {"num_classes": 2},
    "surf_svm": {"width": 2, "num_words": 6, "max_points": 16, "num_support": 5},
    "guarded": {"width": 2, "network": "resnet18(width=4,resize=16)"},
}
INPUTS = {  # others: images
    "dense_mel": (9000,),
    "dense_wav": (9000,),
    "ge2e": (2, 20, 8, 1),
    "silero_vad": (1500,),
}
FOR_IMAGES = [name for name in MODELS if "resize" in SMALL[name]]


def small(name, **options):
    return MODELS[name](**{"num_classes": 3, **SMALL[name], **options})


# More layers of the kinds that others have, and most of the time; the pipeline has
# tests of its own.
LONG = (
    *("googlenet", "resnet34", "resnet56", "dense_mel", "dense_wav"),
    *("surf_svm", "guarded"),
)


def marked(names):
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in names
    ]


@pytest.mark.parametrize("name", marked(MODELS))
def test_shapes_modes_and_a_gradient_for_every_weight(name):
    network = small(name)
    shape = INPUTS.get(name, (160, 64, 1))
    x = jax.random.uniform(jax.random.key(0), (4, *shape))
    variables = drawn(variable_shapes(network, x))

    def loss(params):
        found, updated = network.apply(
            {**variables, "params": params},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        # Those of auxiliary heads too, where there are any.
        total = 0.0
        for logits in found if isinstance(found, tuple) else (found,):
            assert logits.shape == (4, network.num_classes)
            powers = zip(range(network.num_classes), (2, 1, 3), strict=False)
            total += sum(jnp.sum(logits[:, i] ** power) for i, power in powers)
        return total, updated

    grads, updated = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        # The bias of a convolution before batch norm is cancelled by the mean.
        cancelled = "batch_stats" in variables and "Conv_0" in str(path)
        if not cancelled or "kernel" in str(path):
            assert np.abs(grad).max() > 0, path
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()),
        variables.get("batch_stats", {}),
        updated.get("batch_stats", {}),
    )
    assert all(jax.tree.leaves(moved))
    predict = jax.jit(lambda x: network.apply(variables, x, train=False))
    found = predict(x)
    assert found.shape == (4, network.num_classes)
    assert (found[0] != found[1]).any()
    # What is not in training sees one example at a time.
    np.testing.assert_allclose(predict(x.at[1:].set(0.5))[0], found[0], atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_network_is_rebuilt_from_its_description(name):
    network = small(name)
    options = json.loads(json.dumps(describe_module(network)))
    assert MODELS[options.pop("name")](**options) == network


@pytest.mark.parametrize("name", marked(FOR_IMAGES))
def test_the_weights_fit_inputs_of_any_size(name):
    def shapes(*sizes, **options):
        x = jax.ShapeDtypeStruct((1, *sizes, 1), jnp.float32)
        found = variable_shapes(small(name, **options), x)
        return jax.tree.map(lambda leaf: leaf.shape, found)

    assert shapes(12, 300) == shapes(160, 64)
    assert shapes(23, 11, resize=None) == shapes(160, 64, resize=None)
