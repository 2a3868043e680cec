"""The loops that users of PyTorch write: a certificate's votes, and a training step."""

import math
from collections.abc import Callable

import numpy as np

from advjax.classifier import Classifier
from advjax.types import Batch
from experiments.benchmarks import problems
from experiments.benchmarks.rivals import front_ends, pytorch
from experiments.benchmarks.work import Work, process_peak_bytes

PUBLISHED_BATCH = 400
"""Of the certification loop of Cohen et al., which the publication took over."""


COMPILED = {"compiled": "default", "autotuned": "max-autotune"}
"""Modes of `torch.compile` by form. "max-autotune" times several kernels for each
layer and, on a GPU, replays the whole network as a CUDA graph."""
WARM_UP = {"published": 1, "folded": 1, "compiled": 1, "autotuned": 4}
"""Batches of a form's first call: a CUDA graph is recorded in the second."""


def votes(
    *, width: int, num_copies: int, form: str, layout: str, threads: int,
    precision: str, stage: str = "mfbe",
) -> Work:  # fmt: skip
    """A loop of batches: as published, or the best we know how to write.

    Args:
        width: channels of the first stage.
        num_copies: noisy copies at once.
        form: "published" (eager, counted in Python), "folded" (batch norm inside the
            convolutions, counted on the device), or one of `COMPILED` (folded, by
            `torch.compile` with frozen weights).
        layout: "channels_last" or "contiguous_format".
        threads: of this process.
        precision: float32, tf32, bfloat16 (autocast) or "bfloat16 weights" (network
            and features in bfloat16).
        stage: of the noise, "mfbe" or "waveform".
    """
    pytorch.start()
    import torch
    import torch._inductor.config

    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    torch._inductor.config.freezing = True
    device, sigma = pytorch.device(), problems.SIGMAS[stage]
    front, net, facts = _network(width, form, layout, precision, stage)
    clip = pytorch.tensor(problems.clip(stage), channels_first=stage == "mfbe")

    def evaluate(copies):
        return net(front(copies))

    def published(units: int) -> None:
        counts = np.zeros(problems.NUM_CLASSES, dtype=int)
        for _ in range(math.ceil(units / num_copies)):
            copies = clip.repeat((num_copies, *[1] * (clip.ndim - 1)))
            noise = torch.randn_like(copies) * sigma
            for prediction in evaluate(copies + noise).argmax(1).cpu().numpy():
                counts[prediction] += 1

    def on_device(units: int) -> None:
        counts = torch.zeros(problems.NUM_CLASSES, dtype=torch.int64, device=device)
        for _ in range(math.ceil(units / num_copies)):
            noise = torch.randn(num_copies, *clip.shape[1:], device=device)
            predictions = evaluate(noise.mul_(sigma).add_(clip)).argmax(1)
            counts += torch.bincount(predictions, minlength=problems.NUM_CLASSES)
        counts.cpu()

    def run(units: int) -> None:
        # Compiled code with frozen weights refuses inference mode.
        with torch.no_grad():
            (published if form == "published" else on_device)(units)
            pytorch.wait()

    on_cpu = device == "cpu"
    peak = process_peak_bytes if on_cpu else torch.cuda.max_memory_allocated
    return Work(run, facts, peak)


def _network(width: int, form: str, layout: str, precision: str, stage: str):
    """The front end, the network in this form, and its logits before compilation."""
    import torch

    memory_format = getattr(torch, layout)
    classifier = problems.fresh_rescnn(width)
    features = front_ends.torch_features(classifier.representation, stage)
    net = pytorch.twin(classifier).to(memory_format=memory_format)
    inputs = pytorch.tensor(
        problems.parity_inputs(stage), channels_first=stage == "mfbe"
    )
    with torch.no_grad():
        logits = net(features(inputs)).cpu().numpy()
    pytorch.allow_tf32(precision == "tf32")
    if form != "published":
        pytorch.fold(net)
    if precision == "bfloat16 weights":
        net = net.bfloat16()
    dtype = next(net.parameters()).dtype

    def front(copies):
        # It is computed in float32, as ours is.
        return features(copies).to(dtype).contiguous(memory_format=memory_format)

    half = _autocast if precision == "bfloat16" else lambda net: net
    with torch.no_grad():
        rounded = half(net)(front(inputs)).float().cpu().numpy()
    if mode := COMPILED.get(form):
        net = torch.compile(net, mode=mode)
    facts = {"logits": logits, "rounded": rounded}
    return front, half(net), {n: x.astype(float).tolist() for n, x in facts.items()}


def _autocast(net):
    """The network under PyTorch's automatic mixed precision."""
    import torch

    def evaluate(features):
        with torch.autocast(pytorch.device(), torch.bfloat16):
            return net(features)

    return evaluate


def training_step(
    classifier: Classifier, batch: Batch, *, layout: str, eps: float, alpha: float,
    rate: float, compiled: bool = False,
) -> Callable[[], float]:  # fmt: skip
    """A step of clean and FGSM loss and SGD; it returns the loss before.

    One backward pass fills the gradients of the weights and of the clean batch.
    """
    import torch

    memory_format = getattr(torch, layout)
    network = pytorch.twin(classifier).train().requires_grad_(True)
    network = network.to(memory_format=memory_format)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    network = torch.compile(network) if compiled else network
    clean = pytorch.tensor(batch.x, channels_first=True)
    clean = clean.to(memory_format=memory_format)
    y = pytorch.tensor(batch.y).long()
    cross_entropy = torch.nn.functional.cross_entropy

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        x = clean.detach().requires_grad_()
        loss = alpha * cross_entropy(network(x), y)
        loss.backward()
        x_adv = (x + eps * x.grad.sign()).detach()
        loss_adv = (1 - alpha) * cross_entropy(network(x_adv), y)
        loss_adv.backward()
        optimizer.step()
        pytorch.wait()
        return float(loss.detach() + loss_adv.detach())

    return step
