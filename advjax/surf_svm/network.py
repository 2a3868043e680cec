"""The robust classical pipeline as a network, from an image to logits.

The stages are enhancement, reduction by singular values, a denoising autoencoder,
zones, SURF, a codebook and a support vector machine. All fitted numbers are variables,
so the pipeline is saved, attacked, smoothed and certified like any network. It is
trained stage by stage (`surf_svm.fitting`), not by gradients.

All stages have gradients. They are exact through enhancement, reduction, autoencoder,
distances and kernels. Descriptors are differentiated with fixed key points. Counts (of
words, of won pairs) have approximate gradients.

Source: Esmaeilpour, Cardinal, Koerich 2019, arXiv:1904.10990. The publication names the
stages and none of their numbers.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from advjax.layers.base import Network
from advjax.runtime.compilation import one_by_one
from advjax.surf_svm import codebook, surf
from advjax.surf_svm.autoencoder import Autoencoder
from advjax.surf_svm.enhance import enhance
from advjax.surf_svm.fast_hessian import KeyPoints
from advjax.surf_svm.machine import (
    Kernel,
    Machine,
    class_pairs,
    logits_of_pairs,
    pair_decisions,
)
from advjax.surf_svm.svd import reduce_rank
from advjax.types import Logits

VERSION = 1
"""Version of the computation, raised when the same variables give other logits."""
ENCODERS = ("soft", "hard", "pixels")
_POINT_SCALE = 2.0
"""Scale of the point in a zone without key points, that of the smallest key points."""

Image = Float[Array, "height width"]


class SurfSvm(Network):
    """The pipeline from images in [0, 1] to logits.

    Attributes:
        num_classes: number of classes.
        boost: of the high-boost filter; None leaves enhancement out.
        energy: share of the squared singular values that is kept; 1 leaves the
            reduction out.
        centred: subtract an image's mean before the reduction and add it afterwards:
            the energy is then a share of the variance.
        denoise: use the autoencoder.
        width: channels of the autoencoder's first convolution.
        zones: rows and columns of the grid; a zone without key points is described at
            its centre.
        max_points: key points of an image, at most.
        threshold: of the key points' determinants.
        upright: leave descriptors unturned.
        encoder: "soft" (mean distances to the words), "hard" (their histogram), or
            "pixels", which leaves out zones, SURF and codebook: a plain machine on the
            image resized to about `num_words` entries.
        num_words: of the codebook.
        degree: of the kernel.
        coef0: of the kernel; gamma is 1 over the number of the machine's inputs.
        cost: the machine's C; None lets the fit select it by cross-validation.
        num_support: support vectors, set by the fit.
        version: of the pipeline; only the version of this code is accepted.
    """

    num_classes: int
    boost: float | None = 1.5
    energy: float = 0.95
    centred: bool = False
    denoise: bool = True
    width: int = 32
    zones: int = 8
    max_points: int = 128
    threshold: float = 1.5e-6
    upright: bool = True
    encoder: str = "soft"
    num_words: int = 256
    degree: int = 3
    coef0: float = 1.0
    cost: float | None = None
    num_support: int = 1
    version: int = VERSION

    def __post_init__(self):
        """Refuse options out of range and other versions."""
        super().__post_init__()
        if self.version != VERSION:
            raise ValueError(
                f"this surf_svm is of version {self.version}, and this code computes "
                f"version {VERSION}: fit it again, or use the code that wrote it"
            )
        if self.encoder not in ENCODERS:
            raise ValueError(
                f"encoder={self.encoder!r}: choose one of {', '.join(ENCODERS)}"
            )

    def setup(self):
        """The variables, all of them fitted."""
        if self.denoise:
            self.autoencoder = Autoencoder(self.width)
        if self.encoder != "pixels":
            self.words = self.param(
                "words", nn.initializers.normal(), (self.num_words, surf.DESCRIPTOR)
            )
        pairs = len(class_pairs(self.num_classes))
        shapes = {
            "mean": (self.num_words,),
            "deviation": (self.num_words,),
            "support": (self.num_support, self.num_words),
            "coefficients": (self.num_support, pairs),
            "intercept": (pairs,),
        }
        self.fitted = {
            name: self.param(name, nn.initializers.normal(), shape)
            for name, shape in shapes.items()
        }

    @property
    def front(self) -> "Front":
        """The stages before the autoencoder."""
        return Front(self.boost, self.energy, self.centred)

    @property
    def description(self) -> "Description":
        """The stages between the autoencoder and the machine."""
        return Description(*(getattr(self, name) for name in Description._fields))

    @property
    def kernel(self) -> Kernel:
        """The machine's kernel."""
        return Kernel(self.degree, 1 / self.num_words, self.coef0)

    def __call__(
        self, x: Float[Array, "batch height width 1"], *, train: bool
    ) -> Float[Array, "batch classes"]:
        """Logits equal to scikit-learn's decision function."""
        del train
        return jax.vmap(self.classify)(self.encode(x))

    def encode(
        self, x: Float[Array, "batch height width 1"]
    ) -> Float[Array, "batch words"]:
        """The machine's inputs for images, before standardisation."""
        return self.encode_each(self.purify(x[..., 0]))

    def purify(
        self, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch height width"]:
        """Output of the differentiable stages for images, in [0, 1]."""
        return self.front.purify(images, self.autoencoder if self.denoise else None)

    def encode_each(
        self, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch words"]:
        """The machine's inputs for purified images, before standardisation."""
        if self.encoder == "pixels":
            return resize_to_entries(images, self.num_words)
        encode = one_by_one(functools.partial(_encode, self.description))
        if len(images) == 1:  # one loop less when the caller maps over examples
            return encode(images[0], self.words)[None]
        return jax.vmap(encode, in_axes=(0, None))(images, self.words)

    def standardise(self, encoded: Float[Array, "words"]) -> Float[Array, "words"]:
        """Standardise each entry by the training set's mean and deviation."""
        return (encoded - self.fitted["mean"]) / self.fitted["deviation"]

    def decisions(self, encoded: Float[Array, "words"]) -> Float[Array, "pairs"]:
        """Decisions of every pair of classes."""
        machine = Machine(*(self.fitted[name] for name in Machine._fields))
        return pair_decisions(machine, self.kernel, self.standardise(encoded))

    def classify(self, encoded: Float[Array, "words"]) -> Logits:
        """Logits from the output of `encode_each`."""
        return logits_of_pairs(self.decisions(encoded), self.num_classes)


ROOM = 32
"""Pixels by which an image is mirrored beyond its edges, so that points of scale 2 have
complete surroundings everywhere."""


class Front(NamedTuple):
    """The stages without fitted variables; attributes as in `SurfSvm`."""

    boost: float | None
    energy: float
    centred: bool = False

    def reduce(self, image: Image) -> Image:
        """The image enhanced, and reduced to its largest singular values."""
        if self.boost is not None:
            image = enhance(image, boost=self.boost)
        if self.energy == 1:
            return image
        if not self.centred:
            return reduce_rank(image, energy=self.energy)
        mean = jnp.mean(image)
        return mean + reduce_rank(image - mean, energy=self.energy)

    def reduce_each(
        self, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch height width"]:
        """All images reduced."""
        # Parallel singular value problems on two devices of a CPU deadlock (jaxlib
        # 0.10.2).
        return jax.vmap(one_by_one(self.reduce))(images)

    def purify(
        self,
        images: Float[Array, "batch height width"],
        autoencoder: Callable[[Array], Array] | None,
    ) -> Float[Array, "batch height width"]:
        """All images reduced, denoised by the autoencoder if any, in [0, 1]."""
        images = self.reduce_each(images)
        if autoencoder is not None:
            images = autoencoder(images)
        return jnp.clip(images, 0.0, 1.0)


class Description(NamedTuple):
    """The stages that describe a purified image; attributes as in `SurfSvm`."""

    zones: int
    max_points: int
    threshold: float
    upright: bool
    encoder: str

    def describe(
        self, image: Image
    ) -> tuple[Float[Array, "points 64"], Bool[Array, "points"]]:
        """Descriptors of a purified image, and which of them are present."""
        image = jnp.pad(image, ROOM, mode="symmetric")
        points = surf.key_points(
            image,
            max_points=self.max_points,
            threshold=self.threshold,
            upright=self.upright,
        )
        points = _with_zones(points, image, self.zones)
        return surf.descriptors(image, points), points.present

    def encode(
        self,
        descriptors: Float[Array, "points 64"],
        present: Bool[Array, "points"],
        words: Float[Array, "words 64"],
    ) -> Float[Array, "words"]:
        """An image's descriptors, encoded by the words of a codebook."""
        chosen = {"soft": codebook.mean_distances, "hard": codebook.histogram}
        return chosen[self.encoder](descriptors, present, words)


def _encode(by: Description, image, words):
    return by.encode(*by.describe(image), words)


def resize_to_entries(
    images: Float[Array, "batch height width"], entries: int
) -> Float[Array, "batch {entries}"]:
    """The images resized to about `entries` pixels of the same proportions, as rows."""
    height, width = images.shape[1:]
    rows = min(entries, max(1, round((entries * height / width) ** 0.5)))
    while entries % rows:  # an exact grid, so that no entry is always zero
        rows -= 1
    size = (len(images), rows, entries // rows)
    return jax.image.resize(images, size, "linear").reshape(len(images), -1)


def _with_zones(points: KeyPoints, image: Image, zones: int) -> KeyPoints:
    """The points, and one in the middle of each zone without points."""
    sizes = jnp.asarray(image.shape, jnp.float32) - 2 * ROOM
    zone = jnp.floor((points.place - ROOM) / sizes[None] * zones).astype(jnp.int32)
    outside = (zone < 0) | (zone >= zones)
    zone = jnp.clip(zone, 0, zones - 1)
    # Points beyond the image's own edge are mirror images of others.
    there = points.present & ~outside.any(axis=1)
    counts = jnp.zeros((zones, zones), jnp.int32)
    counts = counts.at[zone[:, 0], zone[:, 1]].add(there.astype(jnp.int32))
    lines = (jnp.arange(zones, dtype=jnp.float32) + 0.5) / zones
    rows, columns = jnp.meshgrid(lines, lines, indexing="ij")
    centres = jnp.stack([rows.ravel(), columns.ravel()], axis=1) * sizes[None] + ROOM
    zeros = jnp.zeros(zones**2, jnp.float32)
    dense = KeyPoints(
        jnp.floor(centres), zeros + _POINT_SCALE, zeros, zeros, counts.ravel() == 0
    )
    points = points._replace(present=there)
    return jax.tree.map(lambda *both: jnp.concatenate(both), points, dense)
