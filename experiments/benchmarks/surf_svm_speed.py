"""The classical pipeline in batches, beside a plain loop over the same libraries.

  python -m experiments.benchmarks.surf_svm_speed --esc50_dir=ESC-50

Fits the pipeline on ESC-50's images (DWT, 1/12 of the group's size) and times fit and
prediction, in clips a second from images to logits. The loop takes one image after the
other: NumPy and SciPy for enhancement and singular values, the autoencoder by Flax,
compiled for one image, mahotas for SURF, NumPy for distances, scikit-learn for the
machine; its fit ends with the same autoencoder's training, k-means and machine.
mahotas has no upright descriptors: the loop turns its own, and so does one of ours.
mahotas' refinement moves points elsewhere, so that predictions differ somewhat; the
share of equal predictions is reported.

Everything runs once before it is timed; then all take turns, and the table has medians.
--out=FOLDER also writes surf_svm_speed.md there, every turn as JSON, and a figure.
"""

import functools
import pathlib

import numpy as np

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.models import SurfSvm
from advjax.reports import tables
from advjax.runtime import failures
from advjax.surf_svm.fitting import SvmRecipe, fit
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, results
from experiments.benchmarks.rivals.surf_loop import SurfLoop
from experiments.lab.task import Task

NETWORK = SurfSvm(num_classes=10, width=8, num_words=128)
RECIPE = SvmRecipe(num_steps=50, costs=(1.0,))
_NUM_IMAGES = 80
flags.declare(
    __name__, bench.TURNS, flags.ESC50_DIR, flags.OUT, flags.HOME, flags.CACHE
)


def main() -> None:
    """Time fit and prediction in turns."""
    failures.need("mahotas", "sklearn")
    if not flags.ESC50_DIR.value:
        raise ValueError("give --esc50_dir=FOLDER, that of ESC-50")
    draft = Task(
        home=pathlib.Path(flags.HOME.value),
        corpus="esc50(fold=1)",
        corpus_dir=flags.ESC50_DIR.value,
        features="dwt(sample_rate_hz=8000,seconds=5.0,scale=12)",
        at="image",
    ).draft()
    train = draft.source.resolve().dataset("train", draft.stage.name)
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

    loop, images = SurfLoop(network, RECIPE), x[..., 0]
    in_process = functools.partial(harness.in_process, batch=len(x))
    fits = harness.contest(
        [
            in_process("fit, ours", "ours", functools.partial(fitted, network)),
            in_process("fit, plain loop", "loop", lambda: loop.fit(images, y)),
        ],
        rounds=max(1, bench.TURNS.value // 2),
    )
    equal = {}

    def note_equal(entrants) -> None:
        _, theirs, loops = (entrant.result.argmax(axis=1) for entrant in entrants)
        equal["equal predictions"] = float(np.mean(theirs == loops))

    predictions = harness.contest(
        [
            in_process("ours", "ours", functools.partial(_logits, fitted(network), x)),
            in_process(
                "ours, turned as mahotas", "ours",
                functools.partial(_logits, fitted(turned), x),
            ),
            in_process("plain loop", "loop", lambda: loop.logits(images)),
        ],
        rounds=bench.TURNS.value,
        check=note_equal,
    )  # fmt: skip
    contests = [
        results.Contest("fit", "clips", fits),
        results.Contest("prediction", "clips", predictions, equal),
    ]
    shown = (
        tables.as_markdown(results.table(one, {"loop": "the plain loop"}))
        for one in contests
    )
    text = (
        f"{len(x)} images of {x.shape[1]} x {x.shape[2]}. Equal predictions of both "
        f"with turned descriptors: {100 * equal['equal predictions']:.0f} %.\n\n"
        + "\n\n".join(shown)
    )
    setting = results.setting(["mahotas", "scikit-learn"])
    print(results.write(flags.OUT.value, "surf_svm_speed", contests, text, setting))


def _logits(classifier: Classifier, x) -> np.ndarray:
    return evaluation.logits_of_batch(classifier.logits_fn("image"), x, batch_size=40)


if __name__ == "__main__":
    app.run(main)
