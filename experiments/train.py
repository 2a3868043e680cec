"""Train a classifier; what `certify` does when it finds none.

  python -m experiments.train --rep=mfbe --sigma=0.25 --defence=gaussian

Writes the classifier to --home and prints its folder and its accuracy on held-out
utterances, clean and under noise of --sigma at --rep. Training that was stopped goes on
from its last checkpoint when the same command is given again.
"""

import jax

from advjax import evaluation
from experiments import app, pipeline

app.declare_key(*app.MODEL_FLAGS, *app.DATA_FLAGS, *app.RUN_FLAGS)


def main() -> None:
    """Train, then measure."""
    task = app.task()
    noise = task.noise
    classifier = task.classifier
    points = task.test_points(None)
    x, y = [p.x for p in points], [p.label for p in points]
    clean = evaluation.clean_accuracy(classifier, x, y, at=task.at)
    noisy = evaluation.clean_accuracy(
        classifier, x, y, at=task.at, noise=noise, key=jax.random.key(task.seed)
    )
    print(
        f"{classifier.num_parameters():,} parameters, {len(points)} test crops: "
        f"accuracy {clean:.3f} clean, {noisy:.3f} with noise {task.sigma:g} at the "
        f"{task.at}"
    )
    pipeline.say("certify it: python -m experiments.certify with the same flags")


if __name__ == "__main__":
    app.run(main)
