import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import checkpoint
from advjax.classifier import Classifier, initialise
from advjax.models import Guarded, SurfSvm
from advjax.representations import Image, Magnitude, Waveform
from advjax.runtime.parallel import data_mesh
from advjax.smoothing import Placement, count_votes, gaussian
from advjax.surf_svm import network, surf

SMALL = {"width": 2, "zones": 3, "max_points": 16, "num_words": 6, "num_support": 5}
REPRESENTATION = Image(
    source=Magnitude(source=Waveform(num_samples=4000)), frames=60, bins=48
)
GENERATOR = np.random.default_rng(0)
IMAGES = jnp.asarray(GENERATOR.random((3, 60, 48, 1)), jnp.float32)


@functools.cache
def classifier(**options):
    module = SurfSvm(num_classes=3, **{**SMALL, **options})
    variables = initialise(module, REPRESENTATION, jax.random.key(0))
    return Classifier(variables, module, REPRESENTATION, ("a", "b", "c"))


ENCODERS = pytest.mark.parametrize(
    "encoder",
    [
        pytest.param(each, marks=[pytest.mark.slow] if each == "hard" else [])
        for each in network.ENCODERS
    ],
)


@functools.cache
def alone(encoder):
    """The logits of one image, compiled."""
    return jax.jit(classifier(encoder=encoder).logits)


@ENCODERS
def test_a_batch_is_its_examples(encoder):
    # A CPU computes them one at a time, also in a batch of `vmap`.
    found = classifier(encoder=encoder)
    one_by_one = [alone(encoder)(x) for x in IMAGES]
    apply = jax.jit(functools.partial(found.module.apply, train=False))
    batch = apply(found.variables, IMAGES)
    mapped = jax.jit(jax.vmap(found.logits))(IMAGES)
    # Rounding moves a sample on the edge of a pixel to either side.
    np.testing.assert_allclose(batch, np.stack(one_by_one), atol=2e-3)
    np.testing.assert_allclose(mapped, batch, atol=2e-3)


@functools.cache
def guarded():
    module = Guarded(num_classes=3, network="resnet18(width=4,resize=16)", width=2)
    variables = initialise(module, REPRESENTATION, jax.random.key(0))
    return Classifier(variables, module, REPRESENTATION, ("a", "b", "c"))


@pytest.mark.parametrize(
    "made", [classifier, pytest.param(guarded, marks=pytest.mark.slow)]
)
def test_several_devices_count_the_votes_of_one(made):
    found = made()
    count = functools.partial(
        count_votes, found.logits_fn("image"), IMAGES[0], jax.random.key(1),
        noise=gaussian(0.1), num_samples=16,
    )  # fmt: skip
    # Batches of singular value problems deadlock here.
    alone, shared = Placement(4), Placement(4, mesh=data_mesh())
    np.testing.assert_array_equal(count(placement=shared), count(placement=alone))


@ENCODERS
def test_gradients_reach_the_image_and_are_finite_at_silence(encoder):
    found = classifier(encoder=encoder)
    gradient = jax.jit(jax.grad(lambda x: found.logits(x)[0]))
    assert np.abs(gradient(IMAGES[0])).max() > 0
    silent = jnp.zeros_like(IMAGES[0])
    assert np.isfinite(gradient(silent)).all()
    assert np.isfinite(alone(encoder)(silent)).all()


def test_every_stage_can_be_left_out():
    plain = classifier(boost=None, energy=1, denoise=False)
    assert "autoencoder" not in plain.variables["params"]
    found = plain.module.apply(plain.variables, IMAGES[..., 0], method=SurfSvm.purify)
    np.testing.assert_array_equal(found, IMAGES[..., 0])


def test_a_zone_without_key_points_is_described_at_its_centre():
    blob = np.zeros((90, 90), np.float32)
    rows, columns = np.mgrid[:90, :90]
    blob += np.exp(-((rows - 15) ** 2 + (columns - 15) ** 2) / 18)
    image = jnp.pad(jnp.asarray(blob), network.ROOM, mode="symmetric")
    found = jax.jit(
        lambda x: network._with_zones(surf.key_points(x, max_points=8), x, 3)
    )(image)
    dense = np.asarray(found.present[8:])
    # The first zone has the blob, the eight others only their centres.
    assert dense.tolist() == [False] + [True] * 8
    assert bool(found.present[:8].any())
    places = np.asarray(found.place[8:]).reshape(3, 3, 2) - network.ROOM
    np.testing.assert_array_equal(places[:, 0, 0], [15, 45, 75])
    np.testing.assert_array_equal(places[0, :, 1], [15, 45, 75])


def test_pixels_are_a_grid_of_just_so_many_entries():
    shape = jax.eval_shape(lambda x: network.resize_to_entries(x, 24), IMAGES[..., 0])
    assert shape.shape == (3, 24)
    ramp = jnp.broadcast_to(jnp.arange(48.0)[None, None], (1, 60, 48))
    grid = network.resize_to_entries(ramp, 24).reshape(4, 6)
    assert (jnp.diff(grid, axis=1) > 0).all()
    np.testing.assert_allclose(grid, grid[:1].repeat(len(grid), 0), atol=1e-4)


def test_a_saved_pipeline_comes_back_and_another_version_is_refused(tmp_path):
    found = classifier()
    checkpoint.save(tmp_path / "one", found)
    again = checkpoint.load(tmp_path / "one")
    logits = jax.jit(lambda classifier, x: classifier.logits(x))
    np.testing.assert_allclose(logits(again, IMAGES[0]), logits(found, IMAGES[0]))
    file = tmp_path / "one" / "classifier.json"
    written = json.loads(file.read_text().replace('"version": 1', '"version": 0'))
    del written["description"]  # its digest, which a file of that version had not
    file.write_text(json.dumps(written))
    with pytest.raises(ValueError, match="version 0, and this code computes version 1"):
        checkpoint.load(tmp_path / "one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "none"}, "choose one of soft"),
        ({"num_words": 0}, "give 1 to"),
        ({"cost": 0.0}, "give a positive finite number, or None"),
    ],
)
def test_options_that_no_fit_can_serve_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SurfSvm(num_classes=3, **options)


def test_a_guarded_network_sees_purified_images():
    module, variables = guarded().module, guarded().variables
    apply = jax.jit(functools.partial(module.apply, train=False))
    found = apply(variables, IMAGES)
    autoencoder = {"params": variables["params"]["autoencoder"]}
    reduced = jax.jit(jax.vmap(module.front.reduce))(IMAGES[..., 0])
    purified = jax.jit(network.Autoencoder(2).apply)(autoencoder, reduced)
    behind = {name: value["classifier"] for name, value in variables.items()}
    alone = jax.jit(functools.partial(network_alone().apply, train=False))(
        behind, jnp.clip(purified, 0, 1)[..., None]
    )
    np.testing.assert_allclose(found, alone, atol=1e-5)


def network_alone():
    from advjax.models.guarded import network_behind

    return network_behind("resnet18(width=4,resize=16)", 3)


def test_a_centred_reduction_keeps_a_share_of_the_variance():
    image = 5 + np.asarray(IMAGES[0, :, :, 0], np.float64)
    front = network.Front(boost=None, energy=0.9, centred=True)
    found = np.asarray(jax.jit(front.reduce)(jnp.float32(image)))
    u, values, vt = np.linalg.svd(image - image.mean())
    shares = np.cumsum(values**2) / np.sum(values**2)
    rank = int((shares < 0.9).sum()) + 1
    expected = image.mean() + (u[:, :rank] * values[:rank]) @ vt[:rank]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # Without centring the mean alone is nearly all of the energy.
    plain = jax.jit(front._replace(centred=False).reduce)(jnp.float32(image))
    assert np.linalg.matrix_rank(np.asarray(plain) / 5, tol=1e-3) == 1 < rank
