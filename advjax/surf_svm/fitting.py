"""Fitting of the robust classical pipeline, stage by stage.

Autoencoder, codebook and machine are fitted one after the other, each on the output of
the stages before it. Finished stages are kept in `workdir`, so a killed fit continues
after them. All randomness follows from the seed.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from advjax.classifier import Classifier
from advjax.optimisers import with_dtype_promotion
from advjax.representations import Representation
from advjax.runtime.precision import products_in
from advjax.runtime.progress import Progress
from advjax.surf_svm.autoencoder import Autoencoder
from advjax.surf_svm.checkpoints import Stages
from advjax.surf_svm.machine import machine_of
from advjax.surf_svm.network import Front, SurfSvm, resize_to_entries

Images = Float[np.ndarray, "examples height width 1"]
_FLAT = 1e-6  # as in representations.Image
AT_ONCE = 32
"""Images in a call of a stage's program."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SvmRecipe:
    """Options of the fit. The publication states none of these numbers.

    Attributes:
        num_steps: of the autoencoder's optimiser.
        batch_size: images in a step.
        learning_rate: Adam's.
        corruption: standard deviation of the noise that the autoencoder learns to
            remove.
        noise: standard deviation of noise on every training image before all stages,
            for smoothed classifiers.
        num_descriptors: largest number of descriptors for the codebook.
        costs: candidates for the machine's C, of which cross-validation selects one
            unless the network has its own.
        num_folds: of the cross-validation.
    """

    num_steps: int = 2_000
    batch_size: int = 32
    learning_rate: float = 1e-3
    corruption: float = 0.1
    noise: float = 0.0
    num_descriptors: int = 100_000
    costs: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
    num_folds: int = 4


def fit(
    network: SurfSvm,
    representation: Representation,
    x: Images,
    y: Int[np.ndarray, "examples"],
    *,
    labels: tuple[str, ...],
    recipe: SvmRecipe,
    seed: int = 0,
    workdir: str | pathlib.Path | None = None,
) -> Classifier:
    """Fit the pipeline; return it as a classifier.

    Args:
        network: its options; the fit sets the number of support vectors.
        representation: the representation of the images.
        x: images in [0, 1]. Images of a single value, as of silence, are left out.
        y: their classes.
        labels: the name of each class.
        recipe: options of the fit.
        seed: of all randomness.
        workdir: folder of finished stages; None keeps none. A folder of another fit is
            refused.

    Raises:
        ValueError: only images of a single value, one class only, more words than
            descriptors, a `workdir` of another fit.
        ModuleNotFoundError: scikit-learn is missing.
    """
    x = np.asarray(x, np.float32)[..., 0]
    y = np.asarray(y)
    shown = ~is_flat(x)
    if not shown.any():
        raise ValueError(
            f"all {len(x)} training images have a single value, as silence has: check "
            "the corpus and the representation"
        )
    x, y = x[shown], y[shown]
    _check_classes(y, labels)
    if recipe.noise:
        key = jax.random.fold_in(jax.random.key(seed), 1)
        x = x + recipe.noise * np.asarray(jax.random.normal(key, x.shape))
    stages = Stages(workdir, network, representation, recipe, x, y, seed)
    params = fit_front(network, x, recipe, seed, stages)
    images, by = purify(network, params, x), network.description
    if network.encoder == "pixels":
        encoded = np.asarray(resize_to_entries(jnp.asarray(images), network.num_words))
    else:
        params |= stages.load_or_fit(
            "codebook", lambda: _words(network, images, recipe, seed)
        )
        words = jnp.asarray(params["words"])
        encode = functools.partial(
            jax.lax.map, lambda image: by.encode(*by.describe(image), words)
        )
        encoded = _in_parts(encode, images, "encoded images")
    params |= stages.load_or_fit(
        "machine", lambda: fit_machine(encoded, y, network, recipe)
    )
    return Classifier(
        variables={"params": params},
        module=network.clone(num_support=len(params["support"])),
        representation=representation,
        labels=tuple(labels),
    )


def is_flat(
    images: Float[np.ndarray, "examples height width"],
) -> Bool[np.ndarray, "examples"]:
    """True for each image of a single value."""
    return np.ptp(images.reshape(len(images), -1), axis=1) <= _FLAT


def _words(network: SurfSvm, images, recipe: SvmRecipe, seed: int) -> dict[str, Any]:
    """The codebook, from a sample of every image's descriptors to save memory."""
    describe = functools.partial(jax.lax.map, network.description.describe)
    room = -(-recipe.num_descriptors // len(images))
    generator = np.random.default_rng(seed)
    sampled = _in_parts(
        describe, images, "described images",
        keep=lambda part: descriptor_sample(*part, room=room, generator=generator),
    )  # fmt: skip
    return {"words": fit_codebook(sampled, network.num_words, recipe, seed)}


def descriptor_sample(
    descriptors: Float[np.ndarray, "examples points features"],
    present: Bool[np.ndarray, "examples points"],
    *,
    room: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "sampled features"]:
    """At most `room` descriptors of each image, drawn at random, in their order."""
    found = [one[there] for one, there in zip(descriptors, present, strict=True)]
    return np.concatenate(
        [one[np.sort(generator.permutation(len(one))[:room])] for one in found]
    )


@runtime_checkable
class Purifying(Protocol):
    """A network with the differentiable stages in front: `SurfSvm` or `Guarded`."""

    denoise: bool
    width: int

    @property
    def front(self) -> Front:
        """The stages before the autoencoder."""


def fit_front(
    network: Purifying,
    x: Float[np.ndarray, "examples height width"],
    recipe: SvmRecipe,
    seed: int,
    stages: Stages,
) -> dict[str, Any]:
    """Parameters of the differentiable stages: the autoencoder's, if there is one.

    Args:
        network: the network with these stages.
        x: training images in [0, 1].
        recipe: of the autoencoder.
        seed: of the autoencoder's randomness.
        stages: keeps a fitted autoencoder.
    """
    if not network.denoise:
        return {}

    def run():
        reduced = _in_parts(network.front.reduce_each, x, "reduced images")
        return fit_autoencoder(reduced, network.width, recipe, seed)

    return {"autoencoder": stages.load_or_fit("autoencoder", run)}


def purify(
    network: Purifying,
    params: dict[str, Any],
    x: Float[np.ndarray, "examples height width"],
) -> Float[np.ndarray, "examples height width"]:
    """The output of the differentiable stages for images.

    Args:
        network: the network with these stages.
        params: the result of `fit_front`.
        x: images in [0, 1].
    """
    autoencoder = None
    if network.denoise:
        fitted = {"params": params["autoencoder"]}
        autoencoder = functools.partial(Autoencoder(network.width).apply, fitted)
    run = functools.partial(network.front.purify, autoencoder=autoencoder)
    return _in_parts(run, x, "purified images")


def _check_classes(y, labels) -> None:
    present = np.unique(y)
    if len(present) < 2:
        raise ValueError(
            f"all training images are of the class {labels[int(present[0])]!r}: a "
            "machine separates at least two; give examples of others"
        )
    if missing := [labels[i] for i in range(len(labels)) if i not in present]:
        raise ValueError(
            f"no training image of {', '.join(missing)}: give some, or leave those "
            "classes out of the corpus"
        )


def stage_program(function: Callable) -> Any:
    """The program of a stage for `AT_ONCE` images, with all bits of float32."""

    def run(images):
        with products_in("float32"):
            return function(images)

    return jax.jit(run)


def _in_parts(
    function: Callable,
    x: np.ndarray,
    title: str,
    *,
    keep: Callable[[Any], np.ndarray] = lambda part: part,
) -> np.ndarray:
    """`keep` of the function of all images, computed in parts."""
    at_once = min(len(x), AT_ONCE)
    run, parts = stage_program(function), []
    with Progress(title, total=len(x), unit="images") as line:
        for start in range(0, len(x), at_once):
            taken = x[start : start + at_once]
            missing = [(0, at_once - len(taken)), (0, 0), (0, 0)]
            count, found = len(taken), run(np.pad(taken, missing, "edge"))
            found = jax.tree.map(lambda a, count=count: np.asarray(a)[:count], found)
            parts.append(keep(found))
            line.advance(count)
    return np.concatenate(parts)


def autoencoder_step(
    module: Autoencoder, optimizer: optax.GradientTransformation, corruption: float
) -> Any:
    """The program of a step: (params, state, batch, key) to params, state and loss.

    Args:
        module: the autoencoder.
        optimizer: its optimiser.
        corruption: standard deviation of the noise that it learns to remove.
    """

    @jax.jit
    def step(params, state, batch, key):
        noisy = batch + corruption * jax.random.normal(key, batch.shape)

        def loss(params):
            with products_in("float32"):
                found = module.apply({"params": params}, noisy)
            return jnp.mean(jnp.square(found - batch))

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    return step


def fit_autoencoder(
    images: Float[np.ndarray, "examples height width"],
    width: int,
    recipe: SvmRecipe,
    seed: int,
) -> dict[str, Any]:
    """Parameters of an `Autoencoder` that removes Gaussian noise from the images."""
    module = Autoencoder(width)
    optimizer = with_dtype_promotion(optax.adam(recipe.learning_rate))
    key = jax.random.key(seed)
    params = module.init(key, jnp.asarray(images[:1]))["params"]

    step = autoencoder_step(module, optimizer, recipe.corruption)
    state = optimizer.init(params)
    with Progress("autoencoder", total=recipe.num_steps, unit="steps") as line:
        for index in range(recipe.num_steps):
            rows = np.random.default_rng([seed, index]).integers(
                len(images), size=recipe.batch_size
            )
            fresh = jax.random.fold_in(key, index + 1)
            params, state, value = step(params, state, images[rows], fresh)
            if not index % 20:
                line.advance(0, note=f"loss {float(value):.5f}")
            line.advance(1)
    return jax.device_get(params)


def fit_codebook(
    descriptors: Float[np.ndarray, "descriptors features"],
    num_words: int,
    recipe: SvmRecipe,
    seed: int,
) -> Float[np.ndarray, "words features"]:
    """The means found by k-means from a k-means++ start (Arthur, Vassilvitskii 2007).

    Raises:
        ValueError: more words than descriptors.
    """
    from sklearn.cluster import KMeans

    # Descriptors of flat surroundings are zero and are left out.
    described = descriptors[np.abs(descriptors).max(axis=1) > 0]
    distinct = len(np.unique(described, axis=0))
    if num_words > distinct:
        raise ValueError(
            f"num_words={num_words}: the training images have {distinct} different "
            "descriptors; give fewer words, more images, or a finer grid of zones"
        )
    if len(described) > recipe.num_descriptors:
        rows = np.random.default_rng(seed).choice(
            len(described), recipe.num_descriptors, replace=False
        )
        described = described[np.sort(rows)]
    with Progress("codebook", total=1, unit="k-means") as line:
        found = KMeans(num_words, init="k-means++", n_init=1, random_state=seed)
        found.fit(described)
        line.advance()
    return found.cluster_centers_.astype(np.float32)


def fit_machine(
    encoded: Float[np.ndarray, "examples words"],
    y: Int[np.ndarray, "examples"],
    network: SurfSvm,
    recipe: SvmRecipe,
) -> dict[str, np.ndarray]:
    """The variables of the machine: scaling, support vectors, coefficients, intercept.

    C is the network's or, without one, the cost with the best accuracy in
    cross-validation, the least of equally good ones.
    """
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    mean, deviation = encoded.mean(axis=0), encoded.std(axis=0)
    # A constant entry becomes zero.
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    x = (encoded - mean) / deviation
    kernel = network.kernel
    machine = SVC(
        kernel="poly", degree=kernel.degree, gamma=kernel.gamma, coef0=kernel.coef0
    )
    fewest = int(np.bincount(y, minlength=network.num_classes).min())
    costs = recipe.costs if network.cost is None else (network.cost,)
    with Progress("machine", total=1, unit="fits") as line:
        if len(costs) == 1 or fewest < 2:
            machine.set_params(C=costs[len(costs) // 2]).fit(x, y)
        else:
            folds = StratifiedKFold(
                min(recipe.num_folds, fewest), shuffle=True, random_state=0
            )
            search = GridSearchCV(machine, {"C": costs}, cv=folds).fit(x, y)
            machine = search.best_estimator_
        line.advance(1, note=f"C {machine.C:g}")
    found = machine_of(machine)._asdict()
    return {"mean": mean, "deviation": deviation.astype(np.float32), **found}
