"""Votes per second of a ResCNN at a stage, by precision, beside PyTorch's."""

import re
from collections.abc import Callable, Iterator

from advjax.runtime import parallel, targets
from experiments.benchmarks import certify, harness, our_votes
from experiments.benchmarks.harness import Contestant, Entrant
from experiments.benchmarks.parts import Row, Size
from experiments.benchmarks.parts.races import race
from experiments.benchmarks.results import Result
from experiments.benchmarks.rivals import pytorch_steps


def votes(size: Size, *, stage: str, width: int) -> Iterator[Row]:
    """Yield rates of ours and of PyTorch's loops, and the ceiling of each precision.

    PyTorch's batch is the fastest of several, eager with weights in bfloat16. Every
    network is compared with ours in float32 before it is timed.
    """
    rows = []
    for row in race(_contestants(size, stage, width), "votes", **_about(width)):
        rows.append(row)
        yield row
    eager = [row for row in rows if row.name.startswith(_EAGER) and row.figure]
    if not eager:
        return
    best = max(eager, key=lambda row: row.figure)
    batch = int(re.findall(r"\d+", best.name)[-1])
    # On a CPU "max-autotune" takes minutes, and a compiled bfloat16 is no rival.
    chosen = {"compiled": ["float32"]}
    if not targets.on_cpu():
        chosen = {"autotuned": ["bfloat16", "tf32"]}
    last = [
        _torch(stage, width, batch, precision, form)
        for form, precisions in chosen.items()
        for precision in precisions
    ]
    yield from race(last, "votes")


_EAGER = "PyTorch, bfloat16 weights"


def _precisions() -> list[str]:
    """Those of the device, the fastest first."""
    every = ["bfloat16", "tf32", "float32"]
    return [each for each in every if each != "tf32" or targets.platform() == "gpu"]


def _contestants(
    size: Size, stage: str, width: int
) -> Iterator[tuple[str, Contestant]]:
    on_cpu = targets.on_cpu()
    batches = size.batches or ([20] if on_cpu else [400, 1000, 2000])
    tiles = size.tiles or ([20] if on_cpu else [1000 if width > 32 else 4000])
    for precision in _precisions():
        work = _work(stage, width, precision)
        options = {"precision": precision}
        product = certify.matrix_product
        yield work, Contestant("matrix product", "ceiling", product, options)
        for tile in tiles:
            options = {
                "width": width, "tile": tile, "devices": 1, "precision": precision,
                "cache": "", "stage": stage, "num_compared": 20 if size.small else 1000,
            }  # fmt: skip
            name = f"ours, tile {tile}"
            yield work, Contestant(name, "ours", our_votes.votes, options, 2 * tile)
    few = pytorch_steps.PUBLISHED_BATCH if not size.small else batches[0]
    yield _torch(stage, width, few, "float32", "published")
    for precision in _precisions():
        # The middle one: the fastest is looked for where it matters most.
        yield _torch(stage, width, batches[len(batches) // 2], precision, "folded")
    for batch in batches:
        yield _torch(stage, width, batch, "bfloat16 weights", "folded")


def _work(stage: str, width: int, precision: str) -> str:
    return f"{stage}, width {width}, {precision}"


def _torch(stage: str, width: int, batch: int, precision: str, form: str):
    """A loop of PyTorch's in a process of its own."""
    if form == "autotuned" and precision == "bfloat16":
        precision = "bfloat16 weights"
    names = {"bfloat16": "autocast", "bfloat16 weights": "bfloat16 weights"}
    title = ", ".join(filter(None, [
        names.get(precision), {"autotuned": "max-autotune"}.get(form, form),
        f"batch {batch}",
    ]))  # fmt: skip
    options = {
        "width": width, "num_copies": batch, "form": form, "precision": precision,
        "layout": "contiguous_format" if form == "published" else "channels_last",
        "threads": parallel.num_cores(), "stage": stage,
    }  # fmt: skip
    first = batch * pytorch_steps.WARM_UP[form]
    kind = "published" if form == "published" else "torch"
    found = Contestant(
        f"PyTorch, {title}", kind, pytorch_steps.votes, options, first, 1
    )
    return _work(stage, width, precision.removesuffix(" weights")), found


def _about(width: int) -> dict[str, Callable]:
    """The check of logits, the figure and the note of an entrant."""
    operations = certify.flops(width)

    def check(first: Entrant, each: Entrant) -> None:
        for what, tolerance in certify.TOLERANCE.items():
            logits = {"ours": first.facts[what], each.contestant.name: each.facts[what]}
            harness.differences(logits, tolerance, f"{what} logits")

    def figure(entrant: Entrant, result: Result) -> float:
        return result.rate * entrant.facts.get("flops", operations) / operations

    def note(entrant: Entrant) -> str:
        if "flops" in entrant.facts:
            rate = entrant.last.rate * entrant.facts["flops"]
            return f"{rate / 1e12:.3g} TFLOP/s"
        memory = f"{entrant.last.peak_bytes / 2**30:.2f} GiB"
        if wrong := entrant.facts.get("disagreement"):
            memory += f"; {wrong:.2%} of predictions differ from float32"
        return memory

    return {"check": check, "figure": figure, "note": note}
