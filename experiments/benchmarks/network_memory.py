"""The memory of one adversarial training step of each network on the largest image.

  python -m experiments.benchmarks.network_memory

The image is the one of the study, 1568x1308, in a batch of one; the network has its
full width and 50 classes; the step is that of `fused_adversarial` and Adam, as `fit`
compiles it. Each step is compiled for the inputs that the network resizes by itself and
for images of their own size. The program is not run: the figures are those of XLA's
account of the compiled program, and belong to the backend that it was compiled for.
They include weights, gradients and Adam's averages.

Prints a Markdown table. --out=FOLDER also writes it there, as network_memory.md, and
as network_memory.json.
"""

import time

import jax
import jax.numpy as jnp

from advjax.defences import fused_adversarial
from advjax.models import MODELS
from advjax.reports import tables
from advjax.runtime import targets
from advjax.runtime.memory import program_memory
from advjax.training import Recipe
from advjax.types import Batch
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import problems, results
from experiments.lab.console import say

flags.declare(__name__, flags.NETWORK, flags.OUT)

NUM_CLASSES = 50
SIZES = (1568, 1308)
"""Of a spectrogram or scalogram beside the tonnetz, in the publication of Sallo,
Esmaeilpour and Cardinal."""
EPS = 0.03
"""Budget of images in [0, 1]. No step's memory depends on it."""
UNPOLISHED = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
"""XLA assigns memory before it makes machine code, so that the figures are the same
without optimised code, in a third of the time."""
FOR_IMAGES = ("alexnet", "googlenet", "vgg16", "resnet18", "resnet34", "resnet56")


def main() -> None:
    """Compile each and report the memory that XLA accounts for."""
    header = (
        "network", "parameters", "input", "step, GiB", "of these weights and averages",
        "compile, s",
    )  # fmt: skip
    rows = []
    for name in bench.names(flags.NETWORK, FOR_IMAGES):
        for options in ({}, {"resize": None}):
            module = MODELS[name](num_classes=NUM_CLASSES, **options)
            start = time.perf_counter()
            count, state, whole = step_memory(module, SIZES)
            rows.append([
                name,
                f"{count:,}",
                f"resized to {module.resize}" if module.resize else "native",
                f"{whole / 2**30:.2f}",
                f"{state / 2**30:.2f}",
                f"{time.perf_counter() - start:.0f}",
            ])  # fmt: skip
            say("  ".join(rows[-1]))
    note = (
        f"batch of one image of {SIZES[0]}x{SIZES[1]}, {NUM_CLASSES} classes, "
        f"fused_adversarial and Adam; XLA's account for {targets.platform()}, "
        f"JAX {jax.__version__}"
    )
    table = tables.Table(header, rows, [note])
    facts = {"networks": [dict(zip(header, row, strict=True)) for row in rows]}
    one = results.Contest("memory of a step", "steps", (), facts)
    setting = results.setting()
    print(results.write(flags.OUT.value, "network_memory", [one], table, setting))


def step_memory(module, sizes: tuple[int, int]) -> tuple[int, int, int]:
    """Parameters, bytes of the state between steps, and bytes of the whole step."""
    batch = Batch(
        jax.ShapeDtypeStruct((1, *sizes, 1), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
    )
    optimizer, gradients = Recipe().optimizer(), fused_adversarial(eps=EPS)

    def initialise(key, x):
        variables = module.init(key, x, train=False)
        params = variables["params"]
        return params, variables.get("batch_stats", {}), optimizer.init(params)

    step = problems.training_step(module, gradients, optimizer, **UNPOLISHED)
    key = jax.random.key(0)
    state = jax.eval_shape(initialise, key, batch.x)
    whole = program_memory(step.lower(state, batch, key).compile())
    count = sum(leaf.size for leaf in jax.tree.leaves(state[0]))
    kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return count, kept, whole


if __name__ == "__main__":
    app.run(main)
