"""The classical pipeline in batches, beside a plain loop over the same libraries.

  python -m experiments.benchmarks.surf_svm_speed --esc50_dir=ESC-50

Fits the pipeline on ESC-50's images (DWT, 1/12 of the group's size) and times fit and
prediction, in clips a second from images to logits. The loop takes one image after the
other: NumPy and SciPy for enhancement and singular values, the autoencoder by Flax,
compiled for one image, mahotas for SURF, NumPy for distances, scikit-learn for the
machine; its fit ends with the same autoencoder's training, k-means and machine.
mahotas has no upright descriptors: the loop turns its own, and so does one of ours.
mahotas' refinement moves points elsewhere, so that answers differ somewhat; the share
of equal answers is told.

Everything runs once before it is timed; then all take turns, and the table has medians.
--out=FOLDER also writes surf_svm_speed.md there.
"""

import functools
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.models import SurfSvm
from advjax.reports import tables
from advjax.surf_svm.autoencoder import Autoencoder
from advjax.surf_svm.fitting import SvmRecipe, fit, fit_autoencoder, fit_codebook
from advjax.surf_svm.network import ROOM
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks.turns import median_seconds
from experiments.studies import robust_svm

NETWORK = SurfSvm(num_classes=10, width=8, num_words=128)
RECIPE = SvmRecipe(num_steps=50, costs=(1.0,))
_NUM_IMAGES = 80
flags.declare(
    __name__, bench.TURNS, flags.ESC50_DIR, flags.OUT, flags.HOME, flags.CACHE
)


class Loop:
    """The pipeline one image at a time, by libraries."""

    def __init__(self, network: SurfSvm, recipe: SvmRecipe):
        """With the network's options, not fitted yet."""
        self._network, self._recipe = network, recipe
        self._clean = jax.jit(Autoencoder(network.width).apply)

    def fit(self, images, y) -> None:
        """Nothing; autoencoder, words and machine from images in [0, 1]."""
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
        """Of images, each for itself."""
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


def main() -> None:
    """Time fit and prediction in turns."""
    if not flags.ESC50_DIR.value:
        raise ValueError("give --esc50_dir=FOLDER, that of ESC-50")
    draft = robust_svm.task_of(
        "esc50", "dwt", "surf_svm", robust_svm.CPU, home=pathlib.Path(flags.HOME.value),
        corpus_dir=flags.ESC50_DIR.value, fold=1, pitch_shift="none", seed=0,
    ).draft()  # fmt: skip
    records = draft.source.open()
    train = records.dataset("train", draft.stage.name)
    x, y = train.x[:_NUM_IMAGES], train.y[:_NUM_IMAGES]
    _, y = np.unique(y, return_inverse=True)
    num_classes = int(y.max()) + 1
    network = NETWORK.clone(num_classes=num_classes)
    turned = network.clone(upright=False)

    def fitted(network: SurfSvm) -> Classifier:
        return fit(
            network, draft.representation, x, y,
            labels=tuple(map(str, range(num_classes))), recipe=RECIPE,
        )  # fmt: skip

    loop = Loop(network, RECIPE)
    ways: dict[str, Callable[[], object]] = {
        "fit, ours": functools.partial(fitted, network),
        "fit, plain loop": functools.partial(loop.fit, x[..., 0], y),
    }
    fits = max(1, bench.TURNS.value // 2)
    taken = median_seconds(ways, turns=fits)
    predict = {
        "ours": functools.partial(_logits, fitted(network), x),
        "ours, turned as mahotas": functools.partial(_logits, fitted(turned), x),
        "plain loop": functools.partial(loop.logits, x[..., 0]),
    }
    same = float(
        np.mean(
            predict["ours, turned as mahotas"]().argmax(axis=1)
            == predict["plain loop"]().argmax(axis=1)
        )
    )
    taken |= median_seconds(predict, turns=bench.TURNS.value)
    rows = []
    for name, seconds in taken.items():
        loop_seconds = taken["fit, plain loop" if "fit" in name else "plain loop"]
        rate = len(x) / seconds
        rows.append([name, f"{rate:.1f}", f"{loop_seconds / seconds:.2f}"])
    text = (
        f"{len(x)} images of {x.shape[1]} x {x.shape[2]}; medians of "
        f"{bench.TURNS.value} turns (of fits {fits}) on {app.environment()['device']}. "
        f"Equal answers of both with turned descriptors: {100 * same:.0f} %.\n\n"
        + tables.markdown_table(("", "clips/s", "times the plain loop"), rows)
        + "\n"
    )
    print(text)
    if flags.OUT.value is not None:
        folder = pathlib.Path(flags.OUT.value)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "surf_svm_speed.md").write_text(text, encoding="utf-8")


def _logits(classifier: Classifier, x) -> np.ndarray:
    return evaluation.logits_of_batch(classifier.logits_fn("image"), x, batch_size=40)


if __name__ == "__main__":
    app.run(main)
