"""The loops that users of PyTorch write: a certificate's votes, and a training step."""

import math
from collections.abc import Callable

import numpy as np

from advjax.classifier import Classifier
from advjax.types import Batch
from experiments.benchmarks import problems
from experiments.benchmarks.rivals import pytorch
from experiments.benchmarks.work import Work, process_peak_bytes

PUBLISHED_BATCH = 400
"""Of the certification loop of Cohen et al., which the publication took over."""


def votes(
    *, width: int, num_copies: int, form: str, layout: str, threads: int, precision: str
) -> Work:
    """A loop of batches: as published, or the best we know how to write.

    Args:
        width: channels of the first stage.
        num_copies: noisy copies at once.
        form: "published" (eager, counted in Python), "folded" (batch norm inside the
            convolutions, counted on the device), or "compiled" (folded, by
            `torch.compile` with frozen weights).
        layout: "channels_last" or "contiguous_format".
        threads: of this process.
        precision: float32, tf32 or bfloat16 (autocast).
    """
    pytorch.start()
    import torch
    import torch._inductor.config

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    torch._inductor.config.freezing = True
    device, memory_format = pytorch.device(), getattr(torch, layout)
    net = pytorch.twin(problems.fresh_rescnn(width)).to(memory_format=memory_format)
    clip = pytorch.tensor(problems.noise(1, seed=0), channels_first=True)
    half = torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")
    with torch.no_grad(), half:
        inputs = pytorch.tensor(problems.parity_inputs(), channels_first=True)
        logits = net(inputs).float().cpu().numpy()
    if form != "published":
        pytorch.fold(net)
    if form == "compiled":
        net = torch.compile(net)

    def published(units: int) -> None:
        counts = np.zeros(problems.NUM_CLASSES, dtype=int)
        for _ in range(math.ceil(units / num_copies)):
            copies = clip.repeat((num_copies, 1, 1, 1))
            noise = torch.randn_like(copies) * problems.SIGMA
            for prediction in net(copies + noise).argmax(1).cpu().numpy():
                counts[prediction] += 1

    def on_device(units: int) -> None:
        counts = torch.zeros(problems.NUM_CLASSES, dtype=torch.int64, device=device)
        for _ in range(math.ceil(units / num_copies)):
            noise = torch.randn(num_copies, *clip.shape[1:], device=device)
            copies = (clip + problems.SIGMA * noise).contiguous(
                memory_format=memory_format
            )
            predictions = net(copies).argmax(1)
            counts += torch.bincount(predictions, minlength=problems.NUM_CLASSES)
        counts.cpu()

    def run(units: int) -> None:
        # Compiled code with frozen weights refuses inference mode.
        with torch.no_grad(), half:
            (published if form == "published" else on_device)(units)

    on_cpu = device == "cpu"
    peak = process_peak_bytes if on_cpu else torch.cuda.max_memory_allocated
    return Work(run, {"logits": logits.astype(float).tolist()}, peak)


def training_step(
    classifier: Classifier, batch: Batch, *, layout: str, eps: float, alpha: float,
    rate: float,
) -> Callable[[], float]:  # fmt: skip
    """A step of clean and FGSM loss and SGD, eager; it returns the loss before.

    One backward pass fills the gradients of the weights and of the clean batch.
    """
    import torch

    memory_format = getattr(torch, layout)
    network = pytorch.twin(classifier).train().requires_grad_(True)
    network = network.to(memory_format=memory_format)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
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
