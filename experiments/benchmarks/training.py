"""One step of adversarial training beside the same step in PyTorch.

  python -m experiments.benchmarks.training

Builds a ResCNN, rebuilds it in PyTorch with the same weights, and compares their
logits. Then both take the step of `fused_adversarial`: the clean and the FGSM loss,
half and half, where the clean backward pass also gives the direction, and plain SGD.
The losses of both must agree before anything is timed. The steps are timed in turns,
every turn in another order; PyTorch in both memory layouts, of which the faster counts.
Compile time is apart. Prints a Markdown table; --out=FILE also writes it.

Needs PyTorch 2.13.0: pip install 'advjax[bench]'
"""

import functools
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from advjax.classifier import Classifier, initialise
from advjax.defences import fused_adversarial
from advjax.models import ResCNN
from advjax.reports import tables
from advjax.representations import MelEnergies
from advjax.runtime.compilation import compiler_options
from advjax.types import Batch
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import torch_rescnn
from experiments.lab.console import say

flags.declare(
    __name__,
    bench.TURNS,
    bench.WIDTH,
    flags.OUT,
    flags.BATCH_SIZE,
    flags.SEED,
    flags.CACHE,
)

NUM_CLASSES = 10
EPS, ALPHA, RATE = 0.05, 0.5, 1e-3
"""The entries of mfbe have variance 1. No step's time depends on the three."""
TOLERANCE = 1e-4
"""Greatest difference of logits."""


def main() -> None:
    """Check that both do the same, then take turns."""
    torch = _torch()
    classifier, batch = _problem(flags.BATCH_SIZE.value or 32, flags.SEED.value)
    parity = _parity(classifier, batch)
    # What compiling takes is measured, whatever an earlier start has left.
    jax.config.update("jax_enable_compilation_cache", False)
    contestants = [
        _ours("ours", fused_adversarial(eps=EPS, alpha=ALPHA), classifier, batch),
        _theirs("PyTorch, channels first", torch.contiguous_format, classifier, batch),
        _theirs("PyTorch, channels last", torch.channels_last, classifier, batch),
    ]
    losses = []
    for contestant in contestants:
        losses.append([contestant.step() for _ in "12"])
        say(f"{contestant.name}: losses {losses[-1]}")
    _agree(contestants, losses)
    turns = _take_turns(contestants, bench.TURNS.value)
    text = _report(contestants, turns, classifier, batch, parity, losses)
    print(text)
    if flags.OUT.value is not None:
        path = pathlib.Path(flags.OUT.value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


class Contestant(NamedTuple):
    """`step` changes the contestant's weights and gives the loss before the change."""

    name: str
    compile_s: float | None
    step: Callable[[], float]


class Turn(NamedTuple):
    """Seconds on the clock, and of all processors together."""

    wall_s: float
    cpu_s: float


def _torch():
    """PyTorch, with as many threads as this process may use cores, as XLA takes."""
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            "PyTorch is what this compares with: pip install 'advjax[bench]'"
        ) from error
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


def _problem(batch_size: int, seed: int) -> tuple[Classifier, Batch]:
    """A fresh network and normal noise: no step's time depends on what it learns."""
    # PyTorch's twin has no dropout, whose mask the two could not share.
    module = ResCNN(num_classes=NUM_CLASSES, width=bench.WIDTH.value, dropout=0.0)
    representation = MelEnergies()
    key_weights, key_x = jax.random.split(jax.random.key(seed))
    classifier = Classifier(
        variables=jax.device_get(initialise(module, representation, key_weights)),
        module=module,
        representation=representation,
        labels=tuple(str(label) for label in range(NUM_CLASSES)),
    )
    x = jax.random.normal(key_x, (batch_size, *representation.feature_shape))
    return classifier, Batch(x, jnp.arange(batch_size, dtype=jnp.int32) % NUM_CLASSES)


def _to_torch(batch: Batch):
    """Channels first, labels as PyTorch wants them."""
    import torch

    x = np.ascontiguousarray(np.moveaxis(np.asarray(batch.x), -1, 1))
    return torch.from_numpy(x), torch.from_numpy(np.array(batch.y)).long()


def _parity(classifier: Classifier, batch: Batch) -> float:
    """The greatest difference of the two networks' logits.

    Raises:
        ValueError: they are not the same network.
    """
    import torch

    ours = classifier.module.apply(classifier.variables, batch.x, train=False)
    with torch.no_grad():
        theirs = torch_rescnn.twin(classifier)(_to_torch(batch)[0]).numpy()
    difference = float(np.abs(np.asarray(ours) - theirs).max())
    if not difference < TOLERANCE:
        raise ValueError(f"the logits of JAX and PyTorch differ by {difference:.1e}")
    return difference


def _ours(name, gradients, classifier: Classifier, batch: Batch) -> Contestant:
    """The step of a defence and SGD, as `fit` compiles it."""
    module = classifier.module

    def apply(params, batch_stats, x, key, *, train):
        variables = {"params": params, "batch_stats": batch_stats}
        logits, updated = module.apply(
            variables, x, train=train, mutable=["batch_stats"], rngs={"dropout": key}
        )
        return logits, updated["batch_stats"]

    def train_step(variables, batch, key):
        found = gradients(
            functools.partial(apply, train=True),
            variables["params"],
            variables["batch_stats"],
            batch,
            key,
        )
        params = jax.tree.map(
            lambda weight, gradient: weight - RATE * gradient,
            variables["params"],
            found.params,
        )
        return {"params": params, "batch_stats": found.batch_stats}, found.metrics

    key = jax.random.key(0)
    variables = jax.device_put(classifier.variables)
    start = time.perf_counter()
    jitted = jax.jit(train_step, donate_argnums=0, compiler_options=compiler_options())
    compiled = jitted.lower(variables, batch, key).compile()
    compile_s = time.perf_counter() - start

    def step() -> float:
        nonlocal variables
        variables, metrics = jax.block_until_ready(compiled(variables, batch, key))
        return float(metrics["loss"])

    return Contestant(name, compile_s, step)


def _theirs(name, layout, classifier: Classifier, batch: Batch) -> Contestant:
    """The same in eager PyTorch: one backward pass fills the gradients of both."""
    import torch

    network = torch_rescnn.twin(classifier).train().requires_grad_(True)
    network = network.to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    clean, y = _to_torch(batch)
    clean = clean.to(memory_format=layout)
    cross_entropy = torch.nn.functional.cross_entropy

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        x = clean.detach().requires_grad_()
        loss = ALPHA * cross_entropy(network(x), y)
        loss.backward()
        x_adv = (x + EPS * x.grad.sign()).detach()
        loss_adv = (1 - ALPHA) * cross_entropy(network(x_adv), y)
        loss_adv.backward()
        optimizer.step()
        return float(loss.detach() + loss_adv.detach())

    return Contestant(name, None, step)


def _agree(contestants: list[Contestant], losses: list[list[float]]) -> None:
    """Nothing; refuses to time steps that do not do the same.

    The second loss tells whether the first step changed the weights alike. Both may
    differ by more than rounding: a sign flips where a gradient is as good as zero.
    """
    for contestant, values in zip(contestants, losses, strict=True):
        if not np.allclose(values, losses[0], rtol=1e-2):
            raise ValueError(
                f"{contestant.name} has losses {values}, ours {losses[0]}: not the "
                "same step"
            )


def _take_turns(contestants: list[Contestant], count: int) -> list[list[Turn]]:
    turns = [[] for _ in contestants]
    for turn in range(count):
        for place in range(len(contestants)):
            index = (turn + place) % len(contestants)
            start, cpu_start = time.perf_counter(), time.process_time()
            contestants[index].step()
            spent = time.perf_counter() - start, time.process_time() - cpu_start
            turns[index].append(Turn(*spent))
            say(f"turn {turn + 1}: {contestants[index].name} {spent[0]:.3f} s")
    return turns


def _report(contestants, turns, classifier, batch, parity, losses) -> str:
    wall = [statistics.median(turn.wall_s for turn in own) for own in turns]
    cpu = [statistics.median(turn.cpu_s for turn in own) for own in turns]
    best = min(wall[1:])
    rows = [
        [
            contestant.name,
            tables.DASH
            if contestant.compile_s is None
            else f"{contestant.compile_s:.1f}",
            f"{wall[i]:.3f}",
            f"{min(turn.wall_s for turn in turns[i]):.3f}",
            f"{cpu[i]:.2f}",
            f"{best / wall[i]:.2f}",
            f"{min(cpu[1:]) / cpu[i]:.2f}",
        ]
        for i, contestant in enumerate(contestants)
    ]
    header = (
        "step", "compile, s", "median, s", "fastest, s", "processor, s",
        "times the best PyTorch", "the same in processor time",
    )  # fmt: skip
    import torch

    found = app.environment()
    spread = max(
        abs(a - b) for own in losses for a, b in zip(own, losses[0], strict=True)
    )
    notes = [
        f"ResCNN of width {classifier.module.width}, "
        f"{classifier.num_parameters():,} parameters; batch of {len(batch.y)} times "
        f"{'x'.join(map(str, batch.x.shape[1:]))}; clean and FGSM loss, then SGD",
        f"logits differ by {parity:.1e} at most, the losses of the first two steps by "
        f"{spread:.1e}",
        f"medians of {len(turns[0])} turns, on {len(os.sched_getaffinity(0))} cores "
        f"({found['device']}); JAX {found['versions']['jax']}, "
        f"PyTorch {torch.__version__}",
        "processor: seconds of all cores in a median step, which other programs on the "
        "machine change less than the time on the clock",
    ]
    return tables.as_markdown(tables.Table(header, rows, notes)) + "\n"


if __name__ == "__main__":
    app.run(main)
