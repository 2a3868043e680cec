"""The sides of `benchmarks.certify`, each in a process of its own.

A side builds what the JSON object of its first argument says and tells of it in one
line of JSON. Then it does what each line of its input asks: {"clips": 1, "votes": 1000}
counts a thousand votes for each of so many clips. `benchmarks.certify` starts the sides
and lets them take turns.
"""

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import torch_rescnn

NUM_CLASSES = 10
SIGMA = 0.25
PUBLISHED_BATCH = 400
"""Of the certification loop of Cohen et al., which the publication took over."""
PARITY_ROWS = 4


class Side(NamedTuple):
    """`count` counts so many votes for so many clips; all of it is timed."""

    count: Callable[[int, int], None]
    tells: dict[str, Any]


def main() -> None:
    """Build the side, then take turns."""
    spec = json.loads(sys.argv[1])
    answers = sys.stdout
    sys.stdout = sys.stderr
    make = {"ours": ours, "torch": pytorch, "matmul": matmul}[spec.pop("side")]
    side = make(**spec)
    print(json.dumps(side.tells), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        start, cpu = time.perf_counter(), time.process_time()
        side.count(asked["clips"], asked["votes"])
        told = {
            "wall_s": time.perf_counter() - start,
            "cpu_s": time.process_time() - cpu,
            # Kilobytes on Linux, bytes on macOS.
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            * (1 if sys.platform == "darwin" else 1024),
        }
        print(json.dumps(told), file=answers, flush=True)


def ours(*, width: int, tile: int, devices: int, precision: str, cache: str) -> Side:
    """`smoothing.certify_each`, whose votes are all estimation votes but one tile."""
    import jax

    if devices > 1:
        jax.config.update("jax_num_cpu_devices", devices)
    from advjax import smoothing
    from advjax.runtime import parallel
    from advjax.runtime.compilation import use_disk_cache

    if cache:
        use_disk_cache(cache)
    classifier = network(width)
    logits_fn = classifier.logits_fn("mfbe", precision=precision)
    clip, noise = a_clip(), smoothing.gaussian(SIGMA)
    mesh = parallel.local_mesh()
    size = 1 if mesh is None else mesh.size
    key = jax.random.key(0)

    def count(clips: int, votes: int) -> None:
        examples = (
            smoothing.Example(clip, jax.random.fold_in(key, number))
            for number in range(clips)
        )
        # All but one tile estimate; at this alpha few are enough. Four dispatches.
        found = smoothing.certify_each(
            logits_fn, examples, noise=noise, num_selection=tile,
            num_estimation=votes - tile, tile=tile, alpha=0.1,
            chunk=max(1, math.ceil(votes / tile / size / 4)), mesh=mesh,
        )  # fmt: skip
        for _ in found:
            pass

    start = time.perf_counter()
    count(1, 2 * tile)
    return Side(
        count,
        {
            "compile_s": time.perf_counter() - start,
            "logits": rows(jax.jit(jax.vmap(logits_fn))(parity_inputs())),
            "versions": {"jax": jax.__version__},
            "memory_bytes": device_memory(),
            "disagreement": disagreement(classifier, precision),
        },
    )


def device_memory() -> int | None:
    """The most bytes that JAX has held on an accelerator so far; None on a CPU."""
    import jax

    told = jax.local_devices()[0].memory_stats()
    return told and told.get("peak_bytes_in_use")


def disagreement(classifier, precision: str) -> float:
    """Share of 1,000 noisy copies that another class wins than in float32."""
    if precision == "float32":
        return 0.0
    import jax

    from advjax.evaluation import logits_of_batch

    clip = a_clip()
    noise = np.asarray(jax.random.normal(jax.random.key(5), (1000, *clip.shape)))
    copies = clip + SIGMA * noise
    answers = [
        logits_of_batch(classifier.logits_fn("mfbe", precision=kind), copies)
        for kind in (precision, "float32")
    ]
    return float((answers[0].argmax(1) != answers[1].argmax(1)).mean())


def pytorch(
    *, width: int, batch: int, form: str, layout: str, threads: int, precision: str
) -> Side:
    """A loop of batches in PyTorch: as published, or the best we know how to write.

    Args:
        width: channels of the first stage.
        batch: noisy copies at once.
        form: "published" (eager, counted in Python), "folded" (batch norm inside the
            convolutions, counted on the device), or "compiled" (`torch.compile` with
            frozen weights).
        layout: "channels_last" or "contiguous".
        threads: of this process.
        precision: float32, tf32 or bfloat16 (autocast).
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _settle(threads, precision)
    last = layout == "channels_last"
    memory_format = torch.channels_last if last else torch.contiguous_format
    net = torch_rescnn.twin(network(width)).to(device, memory_format=memory_format)
    clip = torch.from_numpy(a_clip()[..., 0])[None, None].to(device)
    half = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    with torch.no_grad(), half:
        inputs = torch.from_numpy(np.moveaxis(parity_inputs(), -1, 1).copy())
        logits = net(inputs.to(device)).float().cpu().numpy()
    if form != "published":
        fold(net)
    if form == "compiled":
        net = torch.compile(net)

    def published(votes: int) -> None:
        counts = np.zeros(NUM_CLASSES, dtype=int)
        for _ in range(math.ceil(votes / batch)):
            copies = clip.repeat((batch, 1, 1, 1))
            noise = torch.randn_like(copies) * SIGMA
            for winner in net(copies + noise).argmax(1).cpu().numpy():
                counts[winner] += 1

    def on_device(votes: int) -> None:
        counts = torch.zeros(NUM_CLASSES, dtype=torch.int64, device=device)
        for _ in range(math.ceil(votes / batch)):
            noise = torch.randn(batch, *clip.shape[1:], device=device)
            copies = (clip + SIGMA * noise).contiguous(memory_format=memory_format)
            counts += torch.bincount(net(copies).argmax(1), minlength=NUM_CLASSES)
        counts.cpu()

    def count(clips: int, votes: int) -> None:
        # Compiled code with frozen weights refuses inference mode.
        with torch.no_grad(), half:
            for _ in range(clips):
                (published if form == "published" else on_device)(votes)

    start = time.perf_counter()
    count(1, batch)
    return Side(
        count,
        {
            "compile_s": time.perf_counter() - start,
            "logits": rows(logits),
            "versions": {"torch": torch.__version__},
            "memory_bytes": torch.cuda.max_memory_allocated()
            if device.type == "cuda"
            else None,
        },
    )


def _settle(threads: int, precision: str) -> None:
    """Nothing; what PyTorch's users set before they measure."""
    import torch
    import torch._inductor.config

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    torch._inductor.config.freezing = True


def fold(net) -> None:
    """Nothing; moves every batch norm of the twin into the convolution before it."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for layer in net.layers:
        layer.conv = fuse_conv_bn_eval(layer.conv, layer.norm)
        layer.norm = torch.nn.Identity()


def matmul(*, precision: str) -> Side:
    """Products of two square matrices: what the device can do at most.

    A "vote" is one product.
    """
    import jax
    import jax.numpy as jnp

    backend = jax.default_backend()
    size = 2048 if backend == "cpu" else 8192
    kind = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    name = {"tf32": "tensorfloat32"}.get(precision, "float32")
    a = jax.random.normal(jax.random.key(0), (size, size)).astype(kind)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=name))

    def count(clips: int, votes: int) -> None:
        for _ in range(clips * votes):
            found = product(a, a)
        found.block_until_ready()

    count(1, 1)
    device = jax.devices()[0].device_kind
    return Side(count, {"flops": 2 * size**3, "backend": backend, "device": device})


def network(width: int):
    """A fresh ResCNN: what its weights are changes no time."""
    import jax

    from advjax.classifier import Classifier, initialise
    from advjax.models import ResCNN
    from advjax.representations import MelEnergies

    module, representation = ResCNN(num_classes=NUM_CLASSES, width=width), MelEnergies()
    return Classifier(
        variables=jax.device_get(
            initialise(module, representation, jax.random.key(width))
        ),
        module=module,
        representation=representation,
        labels=tuple(str(label) for label in range(NUM_CLASSES)),
    )


def a_clip() -> np.ndarray:
    """Normal noise of the variance that mfbe has."""
    return np.random.default_rng(0).normal(size=(160, 64, 1)).astype(np.float32)


def parity_inputs() -> np.ndarray:
    """The inputs on which all sides must agree."""
    noise = np.random.default_rng(1).normal(size=(PARITY_ROWS, 160, 64, 1))
    return (a_clip() + SIGMA * noise).astype(np.float32)


def rows(logits) -> list[list[float]]:
    """Logits as JSON can hold them."""
    return np.asarray(logits, np.float64).tolist()


def flops(width: int) -> int:
    """Operations of one forward pass by direct convolution, two a multiplication.

    Only products are counted, as is usual; the front end is not part of a vote here.
    """
    total, inputs = 0, 1
    for stage in range(4):
        places = math.ceil(160 / 2 ** (stage + 1)) * math.ceil(64 / 2 ** (stage + 1))
        features = width * 2**stage
        total += places * (25 * inputs * features + 6 * 9 * features * features)
        inputs = features
    # Four bands are left of 64; 512 units of embedding.
    return 2 * (total + 4 * inputs * 512 + 512 * NUM_CLASSES)
