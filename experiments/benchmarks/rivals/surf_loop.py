"""The classical pipeline one image at a time, by mahotas, SciPy and scikit-learn."""

import jax
import numpy as np

from advjax.models import SurfSvm
from advjax.surf_svm.autoencoder import Autoencoder
from advjax.surf_svm.fitting import SvmRecipe, fit_autoencoder, fit_codebook
from advjax.surf_svm.network import ROOM


class SurfLoop:
    """The pipeline one image at a time, by libraries. Images are [height, width]."""

    def __init__(self, network: SurfSvm, recipe: SvmRecipe):
        """Prepare a pipeline with the network's options; `fit` comes next."""
        self._network, self._recipe = network, recipe
        self._clean = jax.jit(Autoencoder(network.width).apply)

    def fit(self, images, y) -> None:
        """Fit autoencoder, words and machine to images in [0, 1]."""
        from sklearn.svm import SVC

        network, recipe = self._network, self._recipe
        reduced = np.stack([self._reduced(image) for image in images])
        self._params = fit_autoencoder(reduced, network.width, recipe, seed=0)
        described = [self._described(image) for image in images]
        self._words = fit_codebook(
            np.float32(np.concatenate(described)), network.num_words, recipe, seed=0
        )
        encoded = np.stack([self._encoded(each) for each in described])
        self._mean, self._deviation = encoded.mean(axis=0), encoded.std(axis=0)
        kernel = network.kernel._asdict()
        self._machine = SVC(kernel="poly", C=recipe.costs[0], **kernel)
        self._machine.fit((encoded - self._mean) / self._deviation, y)

    def logits(self, images) -> np.ndarray:
        """Logits [images, classes], one image after the other."""
        found = []
        for image in images:
            encoded = self._encoded(self._described(image))
            row = (encoded - self._mean) / self._deviation
            found.append(self._machine.decision_function(row[None])[0])
        return np.stack(found)

    def _reduced(self, image) -> np.ndarray:
        from scipy.ndimage import uniform_filter

        low, high = np.quantile(image, [0.01, 0.99])
        shown = np.clip((image - low) / (high - low), 0, 1)
        boosted = self._network.boost * shown - uniform_filter(shown, 3, mode="nearest")
        u, s, vt = np.linalg.svd(np.clip(boosted, 0, 1), full_matrices=False)
        share = np.cumsum(s**2) / np.sum(s**2)
        rank = int(np.searchsorted(share, self._network.energy)) + 1
        return np.float32((u[:, :rank] * s[:rank]) @ vt[:rank])

    def _described(self, image) -> np.ndarray:
        from mahotas.features import surf

        network = self._network
        clean = self._clean({"params": self._params}, self._reduced(image)[None])[0]
        padded = np.pad(np.clip(clean, 0, 1) * 255.0, ROOM, mode="symmetric")
        points = surf.interest_points(padded, 2, 4, 1, 0.1)[: network.max_points]
        sizes = np.asarray(image.shape)
        zones = (points[:, :2] - ROOM) / sizes * network.zones
        inside = ((zones >= 0) & (zones < network.zones)).all(axis=1)
        points, zones = points[inside], zones[inside].astype(int)
        empty = np.ones((network.zones, network.zones), bool)
        empty[zones[:, 0], zones[:, 1]] = False
        centres = np.floor((np.argwhere(empty) + 0.5) / network.zones * sizes + ROOM)
        rest = np.tile([2.0, 1.0, 1.0], (len(centres), 1))
        points = np.concatenate([points, np.hstack([centres, rest])])
        return surf.descriptors(padded, points, descriptor_only=True)

    def _encoded(self, descriptors) -> np.ndarray:
        squares = ((descriptors[:, None] - self._words[None]) ** 2).sum(axis=2)
        return np.sqrt(squares).mean(axis=0)
