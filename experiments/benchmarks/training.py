"""One step of adversarial training beside the same step in PyTorch.

  python -m experiments.benchmarks.training

Builds a ResCNN, of --width channels, and a ResNet-18 on images of 128x64, rebuilds each
in PyTorch with the same weights, and compares their logits. Then both take the step of
`fused_adversarial`: the clean and the FGSM loss, half and half, where the backward pass
of the clean one also gives the direction, and plain SGD. The losses of both must agree
before anything is timed. PyTorch runs in both memory layouts, and compiled by itself;
the fastest counts. The first call, which compiles, is apart. Prints a Markdown table;
--out=FILE.md (or --out=FOLDER) also writes it, every turn as JSON, and a figure.

Needs PyTorch 2.13.0: pip install 'advjax[bench]'
"""

import functools

import jax
import optax

from advjax.classifier import Classifier
from advjax.defences import fused_adversarial
from advjax.types import Batch
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, problems, results
from experiments.benchmarks.rivals import pytorch, pytorch_steps
from experiments.benchmarks.work import Work

flags.declare(
    __name__,
    *(bench.TURNS, bench.WIDTH, flags.OUT, flags.BATCH_SIZE, flags.SEED, flags.CACHE),
)

EPS, ALPHA, RATE = 0.05, 0.5, 1e-3
"""The entries of mfbe have variance 1. No step's time depends on the three."""
LOGITS_TOLERANCE = 1e-4
LOSSES_TOLERANCE = 1e-2
"""Relative. Losses may differ by more than rounding: the sign of a tiny gradient flips.
Those of the first call's two steps are compared: the second shows whether the first
step changed the weights alike."""


def main() -> None:
    """Compare each network with its twin, then let them take turns."""
    seed, count = flags.SEED.value, flags.BATCH_SIZE.value or 32
    pytorch.start(seed)
    width = bench.WIDTH.value
    # PyTorch's twins have no dropout, whose mask the two could not share.
    networks = {
        f"ResCNN of width {width}": problems.fresh_rescnn(
            width, dropout=0.0, seed=seed
        ),
        "ResNet-18": problems.fresh_resnet18((128, 64), seed=seed),
    }
    problems.compile_afresh()
    contests, notes = [], []
    for name, classifier in networks.items():
        one, note = _contest(
            name, classifier, problems.labelled(classifier, count, seed)
        )
        contests.append(one)
        notes.append(note)
    notes.append(f"batches of {count}; clean and FGSM loss, then SGD")
    table = results.table(contests, {"the best PyTorch": ["torch"]}, notes=notes)
    setting = results.setting(["torch"])
    print(results.write(flags.OUT.value, "training", contests, table, setting))


def _contest(
    name: str, classifier: Classifier, batch: Batch
) -> tuple[results.Contest, str]:
    """The turns of all steps of one network, and a note on what they computed."""
    parity = pytorch.parity(classifier, batch.x, LOGITS_TOLERANCE)
    spread = {}

    def check(entrants) -> None:
        losses = {each.contestant.name: each.result for each in entrants}
        spread.update(harness.differences(losses, LOSSES_TOLERANCE, "losses"))

    found = harness.contest(
        contestants(classifier, batch),
        rounds=bench.TURNS.value,
        size=lambda entrants: [1] * len(entrants),
        check=check,
        title=name,
    )
    size = "x".join(map(str, batch.x.shape[1:]))
    note = (
        f"{name}: {classifier.num_parameters():,} parameters, examples of {size}; "
        f"of the largest, logits differ by {parity:.1e} and the losses of the first "
        f"two steps by {max(spread.values()):.1e}"
    )
    return results.Contest(name, "steps", found, {"losses": spread}), note


def contestants(classifier: Classifier, batch: Batch) -> list[harness.Contestant]:
    """Ours, and PyTorch's ways; the first call of each takes two steps."""

    def work(make, **options) -> Work:
        step = make(classifier, batch, **options)
        return Work(lambda units: [step() for _ in range(units)])

    theirs = functools.partial(
        work, pytorch_steps.training_step, eps=EPS, alpha=ALPHA, rate=RATE
    )
    ways = {
        "channels first": {"layout": "contiguous_format"},
        "channels last": {"layout": "channels_last"},
        "compiled": {"layout": "channels_last", "compiled": True},
    }
    return [
        harness.Contestant("ours", "ours", work, {"make": our_step}, batch=2),
        *(
            harness.Contestant(f"PyTorch, {name}", "torch", theirs, options, batch=2)
            for name, options in ways.items()
        ),
    ]


def our_step(classifier: Classifier, batch: Batch):
    """The step of a defence and SGD, as `fit` compiles it; returns the loss before."""
    optimizer = optax.sgd(RATE)
    train_step = problems.training_step(
        classifier.module, fused_adversarial(eps=EPS, alpha=ALPHA), optimizer
    )
    params, batch_stats = map(classifier.variables.get, ("params", "batch_stats"))
    key, state = jax.random.key(0), (params, batch_stats, optimizer.init(params))
    state = jax.device_put(state)

    def step() -> float:
        nonlocal state
        state, metrics = jax.block_until_ready(train_step(state, batch, key))
        return float(metrics["loss"])

    return step


if __name__ == "__main__":
    app.run(main)
