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

Everything runs once before it is timed. --out=FOLDER also writes surf_svm_speed.md
there, every turn as JSON, and a figure.
"""

import functools
import pathlib

import numpy as np

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.models import SurfSvm
from advjax.runtime import failures
from advjax.surf_svm.fitting import SvmRecipe, fit
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, results
from experiments.benchmarks.rivals.surf_loop import SurfLoop
from experiments.lab.task import Task

NETWORK = SurfSvm(num_classes=10, width=8, num_words=128)
RECIPE = SvmRecipe(num_steps=50, costs=(1.0,))
NUM_IMAGES = 80
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
    x = train.x[:NUM_IMAGES]
    known, y = np.unique(train.y[:NUM_IMAGES], return_inverse=True)
    network = NETWORK.clone(num_classes=len(known))
    labels = tuple(map(str, range(len(known))))

    def fitted(network: SurfSvm) -> Classifier:
        return fit(network, draft.representation, x, y, labels=labels, recipe=RECIPE)

    def logits(classifier: Classifier) -> np.ndarray:
        logits_fn = classifier.logits_fn("image")
        return evaluation.logits_of_batch(logits_fn, x, batch_size=40)

    def predicting(network: SurfSvm):
        return functools.partial(logits, fitted(network))

    loop, images = SurfLoop(network, RECIPE), x[..., 0]
    in_process = functools.partial(harness.in_process, batch=len(x))
    fits = harness.contest(
        [
            in_process("ours", "ours", functools.partial(fitted, network)),
            in_process("plain loop", "loop", lambda: loop.fit(images, y)),
        ],
        rounds=max(1, bench.TURNS.value // 2),
        title="fit",
    )
    equal = {}

    def note_equal(entrants) -> None:
        _, ours, theirs = (entrant.result.argmax(axis=1) for entrant in entrants)
        equal["equal predictions"] = float(np.mean(ours == theirs))

    turned = network.clone(upright=False)
    predictions = harness.contest(
        [
            in_process("ours", "ours", predicting(network)),
            in_process("ours, turned as mahotas", "ours", predicting(turned)),
            in_process("plain loop", "loop", lambda: loop.logits(images)),
        ],
        rounds=bench.TURNS.value,
        check=note_equal,
        title="prediction",
    )
    contests = [
        results.Contest("fit", "clips", fits),
        results.Contest("prediction", "clips", predictions, equal),
    ]
    notes = [
        f"{len(x)} images of {x.shape[1]} x {x.shape[2]}; with turned descriptors "
        f"{100 * equal['equal predictions']:.0f} % of the predictions are those of the "
        "loop"
    ]
    table = results.table(contests, {"the plain loop": ["loop"]}, notes=notes)
    setting = results.setting(["mahotas", "scikit-learn"])
    print(results.write(flags.OUT.value, "surf_svm_speed", contests, table, setting))


if __name__ == "__main__":
    app.run(main)
