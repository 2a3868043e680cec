"""Votes per second: our certification beside PyTorch's and the machine's ceiling.

  python -m experiments.benchmarks.certify --out=FOLDER

Every contestant is a process of its own with the same weights and the same clip, whose
logits are compared before anything is timed: ours at several tiles; (a) the
certification loop as published, eager with batches of 400 and counts in Python; (b) the
best PyTorch that we can write, at several batches, in both memory layouts, with batch
norm folded, with torch.compile, and on a CPU in one process a core; (c) a large matrix
product, the ceiling. The best of ours and the best of (b) are those with the best
median. On a CPU, PyTorch's autocast to bfloat16 is a rival of its own kind, and so are
ours in OpenVINO where it is installed.
--convolutions=avx2 adds ours as it would run on that kind of CPU.

Then the best of ours alone, at the first width, over a 30-fold range of n and of clips:
the cost of a certificate, and the growth of memory. Writes certify.md, certify.json and
certify.png to --out.

The clip is normal noise at the stage mfbe and the network is not trained: neither
changes the time of a vote. Needs PyTorch 2.13.0: pip install 'advjax[bench]'
"""

import functools
import importlib.util
import math
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from advjax.reports import tables
from advjax.runtime import failures, parallel
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, our_votes, problems, results
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals import pytorch_steps
from experiments.benchmarks.work import Turn, Work
from experiments.lab.console import say

flags.declare(
    __name__,
    *(flags.PRECISION, bench.TURNS, bench.TURN_S, bench.WIDTHS, bench.TILES),
    *(bench.BATCHES, bench.SCALING, bench.COMPILED, flags.CONVOLUTIONS),
    *(flags.OUT, flags.CACHE, flags.HOME),
)

TOLERANCE = {"logits": 1e-4, "rounded": 0.1}
"""Greatest difference of logits, relative to the largest: all in float32, then each in
its own precision."""
MULTIPLES = (1, 3, 10, 30)
AGAINST = {"the best PyTorch": ["torch"], "the published loop": ["published"]}
_ROUNDED = "PyTorch in bfloat16"
_OTHER_CPU = "ours, as on another kind of CPU"
_OPENVINO = {
    "float32": "ours, in OpenVINO",
    "bfloat16": "ours in bfloat16, in OpenVINO",
}
"""Kinds of ours by the precision that OpenVINO computes in."""


def main() -> None:
    """Time all widths, then report."""
    failures.need("torch")
    on_cpu = _backend() == "cpu"
    contests: list[Contest] = []
    for width in bench.counts(bench.WIDTHS):
        entries = list(contestants(width, on_cpu=on_cpu))
        found = harness.contest(
            entries,
            rounds=bench.TURNS.value,
            size=harness.turns_of(bench.TURN_S.value),
            check=check_logits,
            title=f"width {width}",
        )
        title = f"ResCNN of width {width}, {flags.PRECISION.value}"
        contests.append(votes_contest(title, width, found))
    growths = []
    if bench.SCALING.value:
        best = contests[0].best("ours")
        width = contests[0].facts["width"]
        entries = contestants(width, on_cpu=on_cpu)
        (entry,) = (each for each in entries if each.name == best.name)
        growths = [growth(entry, best.rate)]
    print(results.write(
        flags.OUT.value or "benchmark", "certify", [*contests, *growths],
        summary(contests, growths), results.setting(["torch"]),
    ))  # fmt: skip


def _backend() -> str:
    """JAX's backend, asked of another process: this one leaves the device alone."""
    program = "from advjax.runtime import targets; print(targets.platform())"
    answer = subprocess.check_output([sys.executable, "-c", program], encoding="utf-8")
    return answer.split()[-1]


def contestants(width: int, *, on_cpu: bool) -> Iterator[harness.Contestant]:
    """The matrix product, ours, the published loop and the other loops of PyTorch."""
    cores = parallel.num_cores()
    compiled = str(pathlib.Path(flags.HOME.value).absolute() / "compiled")
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

    def entry(name: str, kind: str, build, batch: int, processes=1, **options: Any):
        options = {"precision": flags.PRECISION.value} | options
        return harness.Contestant(name, kind, build, options, batch, processes, shared)

    yield entry("matrix product", "ceiling", matrix_product, 1)
    ours = functools.partial(
        entry, build=our_votes.votes, width=width,
        cache=compiled if flags.CACHE.value else "",
    )  # fmt: skip
    defaults = [10, 20] if on_cpu else [500, 1000, 2000]
    for tile in bench.counts(bench.TILES) or defaults:
        for devices in sorted({1, cores}) if on_cpu else [1]:
            name = f"ours, tile {tile}, {devices} device{'s' * (devices > 1)}"
            # A tile on each device selects the class, and at least as many estimate.
            batch = 2 * tile * devices
            yield ours(name, "ours", batch=batch, tile=tile, devices=devices)
        kinds = {"": ("ours", "")}
        if kind := flags.CONVOLUTIONS.value:
            kinds[f", convolutions of {kind}"] = (_OTHER_CPU, kind)
        for title, (side, kind) in kinds.items() if on_cpu and cores > 1 else []:
            yield ours(
                f"ours, tile {tile}, processes of a core ({cores}){title}", side,
                batch=2 * tile * cores, tile=tile, workers=cores, convolutions=kind,
            )  # fmt: skip
    if on_cpu and importlib.util.find_spec("openvino"):
        yield from _in_openvino(ours, cores)
    # JAX makes PyTorch's weights; its programs need not be compiled for each of them.
    shared = shared | {"JAX_COMPILATION_CACHE_DIR": compiled}
    # The allocator's settings of launch.sh are ours: they halve the published loop's
    # time.
    unset = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"))
    shared = shared | unset
    yield from _torch(entry, width, cores, on_cpu)


def _in_openvino(ours, cores: int) -> Iterator[harness.Contestant]:
    """Ours with the network in OpenVINO, and with one process a core."""
    tile = max(bench.counts(bench.TILES) or [20])
    for precision, kind in _OPENVINO.items():
        for workers in sorted({0, cores} - {1}):
            among = f", processes of a core ({cores})" if workers else ""
            yield ours(
                f"{kind}, tile {tile}{among}", kind, batch=2 * tile * max(1, workers),
                tile=tile, workers=workers, precision=f"{precision} in OpenVINO",
            )  # fmt: skip


def _torch(entry, width: int, cores: int, on_cpu: bool) -> Iterator[harness.Contestant]:
    """PyTorch's loops; `entry` makes a contestant of a name, a kind and options."""

    def torch(name: str, batch: int, processes: int = 1, **options: Any):
        common = {"threads": cores, "form": "folded", "layout": "channels_last"}
        kind = "published" if options.get("form") == "published" else "torch"
        return entry(
            f"PyTorch, {name}", kind, pytorch_steps.votes, batch, processes,
            width=width, num_copies=batch, **common | options,
        )  # fmt: skip

    yield torch(
        "as published", pytorch_steps.PUBLISHED_BATCH, form="published",
        layout="contiguous_format", precision="float32",
    )  # fmt: skip
    defaults = [16, 20, 32, 50] if on_cpu else [400, 1000, 2000]
    few, *_ = batches = bench.counts(bench.BATCHES) or defaults
    yield torch(f"folded, channels first, batch {few}", few, layout="contiguous_format")
    if on_cpu:
        yield from _by_core(torch, cores, few)
    halves = {"bfloat16 weights, ": {"precision": "bfloat16 weights"}}
    weights = halves if flags.PRECISION.value == "bfloat16" else {}
    for title, options in ({"": {}} | weights).items():
        for batch in batches:
            yield torch(f"{title}folded, batch {batch}", batch, **options)
        if not bench.COMPILED.value:
            continue
        # On a CPU "max-autotune" takes minutes, and found nothing faster.
        form, some = ("compiled", [few]) if on_cpu else ("autotuned", batches)
        for batch in some:
            found = torch(f"{title}{form}, batch {batch}", batch, form=form, **options)
            yield found._replace(batch=pytorch_steps.WARM_UP[form] * batch)


def _by_core(torch, cores: int, batch: int) -> Iterator[harness.Contestant]:
    """PyTorch's loops with one process a core, which share no memory but the caches."""
    forms = ["folded", *(["compiled"] if bench.COMPILED.value else [])]
    wholes = {"": flags.PRECISION.value}
    if flags.PRECISION.value == "float32":
        wholes["autocast to bfloat16, "] = "bfloat16"
    for title, precision in wholes.items():
        # On one core the others are these.
        for form in forms if cores > 1 or title else []:
            name = f"{title}{form}, processes of a core ({cores}), batch {batch}"
            found = torch(name, batch, cores, threads=1, form=form, precision=precision)
            yield found._replace(kind=_ROUNDED) if title else found


def check_logits(entrants: Sequence[harness.Entrant]) -> None:
    """Refuse to time networks that are not the same; take their logits away."""
    for what, tolerance in TOLERANCE.items():
        logits = {
            each.contestant.name: np.asarray(each.facts.pop(what))
            for each in entrants
            if what in each.facts
        }
        harness.differences(logits, tolerance, f"{what} logits".removeprefix("logits "))


def matrix_product(*, precision: str) -> Work:
    """Products of two square matrices, a unit each, as the ceiling of the device."""
    import jax
    import jax.numpy as jnp

    from advjax.runtime import targets

    size = 2048 if targets.on_cpu() else 8192
    kind = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    name = {"tf32": "tensorfloat32"}.get(precision, "float32")
    a = jax.random.normal(jax.random.key(0), (size, size)).astype(kind)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=name))

    def run(units: int) -> None:
        for _ in range(units):
            result = product(a, a)
        result.block_until_ready()

    return Work(run, {"flops": 2 * size**3})


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
    return 2 * (total + 4 * inputs * 512 + 512 * problems.NUM_CLASSES)


def votes_contest(title: str, width: int, found: tuple[Result, ...]) -> Contest:
    """The contest of a width, whose ceiling is the matrix product's FLOP/s."""
    one, operations = Contest(title, "votes", found), flops(width)
    product = one.best("ceiling")
    most = product.rate * product.facts["flops"] / operations
    return one._replace(facts={"width": width, "flops": operations, "ceiling": most})


def growth(entry: harness.Contestant, rate: float) -> Contest:
    """Turns of one contestant over n for one clip, and over clips for a fixed n."""
    unit = entry.batch * max(1, round(rate * bench.TURN_S.value / 2 / entry.batch))
    turns: dict[tuple[str, int], list[Turn]] = {}
    with harness.Entrant(entry) as entrant:
        for number in range(3):
            for multiple in MULTIPLES[:: -1 if number % 2 else 1]:
                for kind, clips in (("votes of one clip", 1), ("clips", multiple)):
                    turn = entrant.run(unit * multiple, clips=clips)
                    turns.setdefault((kind, multiple), []).append(turn)
            say(f"growth, round {number + 1} of 3")
    found = (
        Result(f"{kind}, {multiple} x {unit} votes", kind, own[0], tuple(own))
        for (kind, multiple), own in turns.items()
    )
    return Contest(f"growth, {entry.name}", "votes", tuple(found))


def summary(
    contests: Sequence[Contest], growths: Sequence[Contest] = ()
) -> tables.Table:
    """A row for each contestant and, below, for each size of the growth."""
    columns = {
        "votes/CPU s": lambda r: f"{1 / max(r.median('cpu_s'), 1e-12):.4g}",
        "s a clip, n=10,000": lambda r: f"{10_000 / r.rate:,.1f}",
        "memory, GiB": lambda r: f"{max(t.peak_bytes for t in r.turns) / 2**30:.2f}",
    }
    notes = [
        f"{one.title}: the ceiling is "
        f"{one.facts['ceiling'] * one.facts['flops'] / 1e9:.4g} GFLOP/s in a large "
        f"matrix product; {one.facts['flops'] / 1e9:.3f} GFLOP a vote by direct "
        "convolution"
        for one in contests
    ]
    notes += [
        "ours computes fewer operations on a CPU (Winograd), so that its share of the "
        "ceiling may pass 1",
        "s a clip follows from votes/s; memory: the peak of the processes, or of the "
        "library on an accelerator",
    ]
    kinds = {result.kind for one in contests for result in one.results}
    for one in contests:
        for kind in kinds & {"ours", *_OPENVINO.values()}:
            if wrong := one.best(kind).facts["disagreement"]:
                notes.append(
                    f"{one.title}, {kind}: {wrong:.2%} of 1,000 noisy copies have "
                    "another prediction in float32"
                )
    for one in growths:
        first, *_ = one.results
        peak = max(turn.peak_bytes for r in one.results for turn in r.turns)
        notes.append(
            f"{one.title}: exponents of the time {exponents(one)}; peak memory "
            f"{first.first.peak_bytes / 2**20:.0f} MiB after the fewest votes, "
            f"{peak / 2**20:.0f} MiB after all"
        )
    rounded = {_ROUNDED: [_ROUNDED]} if _ROUNDED in kinds else {}
    return results.table([*contests, *growths], AGAINST | rounded, columns, notes)


def exponents(one: Contest) -> str:
    """The exponents of growth, by kind: least squares through the logarithms."""
    texts = []
    for kind in dict.fromkeys(result.kind for result in one.results):
        some = [result for result in one.results if result.kind == kind]
        units = np.array([result.turns[0].units for result in some])
        seconds = units * [result.median_s for result in some]
        slope, _ = np.polyfit(np.log(units), np.log(seconds), 1)
        texts.append(f"{slope:.3f} ({kind})")
    return ", ".join(texts)


if __name__ == "__main__":
    app.run(main)
