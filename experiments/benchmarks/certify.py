"""Votes per second: our certification beside PyTorch's and the machine's ceiling.

  python -m experiments.benchmarks.certify --out=FOLDER

Every contestant is a process of its own with the same weights and the same clip, whose
logits are compared before anything is timed: ours at several tiles; (a) the
certification loop as published, eager with batches of 400 and counts in Python; (b) the
best PyTorch that we can write, at several batches, in both memory layouts, with batch
norm folded and with torch.compile; (c) a large matrix product, the ceiling. They take
turns, every round in another order. Of ours and of (b) the one with the best median
counts, and the ratios are those of its turns of the same round.

Then ours alone, at the first width, over a 30-fold range of n and of clips: what a
certificate costs, and whether memory grows. Writes certify.md, certify.json and the
figures certify.png, scaling.png and width.png to --out.

The clip is normal noise at the stage mfbe and the network is not trained: neither
changes the time of a vote. Needs PyTorch 2.13.0: pip install 'advjax[bench]'
"""

import math
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from advjax.reports import tables
from advjax.runtime import failures, parallel
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, problems, results
from experiments.benchmarks.results import Contest
from experiments.benchmarks.rivals import pytorch_steps
from experiments.benchmarks.work import Work, process_peak_bytes
from experiments.lab.console import say

flags.declare(
    __name__,
    *(flags.PRECISION, bench.TURNS, bench.TURN_S, bench.WIDTHS, bench.TILES),
    *(bench.BATCHES, bench.SCALING, bench.COMPILED),
    *(flags.OUT, flags.CACHE, flags.HOME),
)

SIGMA = 0.25
TOLERANCE = 1e-4
"""Greatest difference of logits, relative to the largest."""
MULTIPLES = (1, 3, 10, 30)
AGAINST = {"torch": "the best PyTorch", "published": "the published loop"}


def main() -> None:
    """Time all widths, then report."""
    failures.need("torch")
    backend, device = harness.probe_device()
    contests = []
    for width in map(int, bench.WIDTHS.value):
        title = f"ResCNN of width {width}, {flags.PRECISION.value}"
        entrants = list(contestants(width, on_cpu=backend == "cpu"))
        found = harness.contest(
            entrants,
            rounds=bench.TURNS.value,
            size=harness.turns_of(bench.TURN_S.value),
            check=check_logits,
            title=f"width {width}",
        )
        facts = {"width": width, "flops": flops(width)}
        if bench.SCALING.value and not contests:
            best = Contest(title, "votes", found).best("ours")
            (entry,) = (each for each in entrants if each.name == best.name)
            facts["scaling"] = scaling(entry, best.rate)
        contests.append(Contest(title, "votes", found, facts))
    setting = results.setting(["torch"], device)
    report(contests, setting, pathlib.Path(flags.OUT.value or "benchmark"))


def contestants(width: int, *, on_cpu: bool) -> Iterator[harness.Contestant]:
    """All of them, each a process or several."""
    home = pathlib.Path(flags.HOME.value).absolute()
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    common = {"precision": flags.PRECISION.value}
    yield harness.Contestant(
        "matrix product", "ceiling", matrix_product, common, 1, 1, shared
    )
    common |= {"width": width, "sigma": SIGMA}
    cache = {"cache": str(home / "compiled") if flags.CACHE.value else ""}
    cores = parallel.num_cores()
    tiles = bench.TILES.value or ([10, 20] if on_cpu else [500, 1000, 2000])
    for tile in map(int, tiles):
        for devices in sorted({1, cores}) if on_cpu else [1]:
            yield harness.Contestant(
                f"ours, tile {tile}, {devices} device{'s' * (devices > 1)}",
                "ours",
                our_votes,
                common | cache | {"tile": tile, "devices": devices},
                # One tile selects the class, and as many at least estimate.
                batch=2 * tile * devices,
                num_processes=1,
                environment=shared,
            )
    # JAX makes PyTorch's weights; that need not be compiled for each of them.
    shared = shared | {"JAX_COMPILATION_CACHE_DIR": str(home / "compiled")}
    common |= {"threads": cores, "form": "folded", "layout": "channels_last"}

    def torch(name: str, batch: int, processes: int = 1, **options: Any):
        return harness.Contestant(
            f"PyTorch, {name}", "torch", pytorch_steps.votes,
            common | {"batch": batch} | options, batch, processes, shared,
        )  # fmt: skip

    # What launch.sh tells the allocator is ours, and half of the published loop's time.
    untold = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"))
    yield torch(
        "as published", pytorch_steps.PUBLISHED_BATCH,
        form="published", layout="contiguous", precision="float32",
    )._replace(kind="published", environment=shared | untold)  # fmt: skip
    batches = bench.BATCHES.value or ([16, 20, 32, 50] if on_cpu else [400, 1000, 2000])
    few, *_ = batches = [int(batch) for batch in batches]
    for batch in batches:
        yield torch(f"folded, batch {batch}", batch)
    yield torch(f"folded, channels first, batch {few}", few, layout="contiguous")
    if cores > 1 and on_cpu:
        name = f"folded, {cores} processes of a core, batch {few}"
        yield torch(name, few, cores, threads=1)
    if bench.COMPILED.value:
        yield torch(f"compiled, batch {few}", few, form="compiled")


def check_logits(entrants: Sequence[harness.Entrant]) -> None:
    """Refuse to time networks that are not the same."""
    logits = {
        each.contestant.name: np.asarray(each.facts.pop("logits"))
        for each in entrants
        if "logits" in each.facts
    }
    tolerance = TOLERANCE if flags.PRECISION.value == "float32" else 0.1
    harness.differences(logits, tolerance, "logits")


def our_votes(
    *, width: int, sigma: float, tile: int, devices: int, precision: str, cache: str
) -> Work:
    """`smoothing.certify_each`, whose votes are all estimation votes but one tile."""
    import jax

    if devices > 1:
        jax.config.update("jax_num_cpu_devices", devices)
    from advjax import smoothing
    from advjax.runtime.compilation import use_disk_cache

    if cache:
        use_disk_cache(cache)
    classifier = problems.fresh_rescnn(width)
    logits_fn = classifier.logits_fn("mfbe", precision=precision)
    (clip,), law = problems.noise(1, seed=0), smoothing.gaussian(sigma)
    mesh = parallel.local_mesh()
    size = 1 if mesh is None else mesh.size
    key = jax.random.key(0)

    def run(units: int, clips: int = 1) -> None:
        """Counts the votes, as many for each of so many clips."""
        examples = (
            smoothing.Example(clip, jax.random.fold_in(key, number))
            for number in range(clips)
        )
        num_votes = units // clips
        # All but one tile estimate; at this alpha few are enough. Four dispatches.
        plan = smoothing.VotePlan(
            tile, num_votes - tile, 0.1, smoothing.ClopperPearson()
        )
        chunk = max(1, math.ceil(num_votes / tile / size / 4))
        placement = smoothing.Placement(tile, chunk, mesh)
        for _ in smoothing.certify_each(
            logits_fn, examples, noise=law, plan=plan, placement=placement
        ):
            pass

    def peak_bytes() -> int:
        stats = jax.local_devices()[0].memory_stats() or {}
        return stats.get("peak_bytes_in_use") or process_peak_bytes()

    inputs = problems.parity_inputs(sigma)
    logits = np.asarray(jax.jit(jax.vmap(logits_fn))(inputs), float).tolist()
    wrong = disagreement(classifier, clip, sigma, precision)
    return Work(run, {"logits": logits, "disagreement": wrong}, peak_bytes)


def disagreement(classifier, clip: np.ndarray, sigma: float, precision: str) -> float:
    """Share of 1,000 noisy copies that another class wins than in float32."""
    if precision == "float32":
        return 0.0
    from advjax.evaluation import logits_of_batch

    copies = clip + np.float32(sigma) * problems.noise(1000, seed=5)
    winners = [
        logits_of_batch(classifier.logits_fn("mfbe", precision=kind), copies).argmax(1)
        for kind in (precision, "float32")
    ]
    return float((winners[0] != winners[1]).mean())


def matrix_product(*, precision: str) -> Work:
    """Products of two square matrices, each a unit: what the device can do at most."""
    import jax
    import jax.numpy as jnp

    size = 2048 if jax.default_backend() == "cpu" else 8192
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


def scaling(entry: harness.Contestant, rate: float) -> dict[str, Any]:
    """Seconds and memory over n for one clip, and over clips for a fixed n."""
    unit = entry.batch * max(1, round(rate * bench.TURN_S.value / 2 / entry.batch))
    found: dict[str, Any] = {"name": entry.name, "unit": unit, "n": [], "clips": []}
    with harness.Entrant(entry) as entrant:
        for number in range(3):
            for multiple in MULTIPLES[:: -1 if number % 2 else 1]:
                for what, clips in (("n", 1), ("clips", multiple)):
                    turn = entrant.run(unit * multiple, clips=clips)
                    found[what].append(turn._asdict())
            say(f"scaling, round {number + 1} of 3")
    return found


def report(
    contests: Sequence[Contest], setting: Mapping[str, Any], out: pathlib.Path
) -> None:
    """Print and write the tables, every turn, and the figures."""
    parts, growths = ["# Votes per second"], {}
    for one in contests:
        parts += [f"## {one.title}", tables.as_markdown(speeds(one)), conclusion(one)]
        if "scaling" in one.facts:
            growths[f"width {one.facts['width']}"] = growth(one.facts["scaling"])
            parts.append(growth_text(one.facts["scaling"]))
    out.mkdir(parents=True, exist_ok=True)
    if growths:
        results.draw(
            out / "scaling.png", growths, x_label="votes", y_label="seconds",
            title="What certifying costs",
        )  # fmt: skip
        parts.append("![seconds over votes](scaling.png)")
    if len(contests) > 1:
        lines = {
            name: [(c.facts["width"], 1000 * c.best(kind).median_s) for c in contests]
            for kind, name in {"ours": "ours", **AGAINST}.items()
        }
        results.draw(
            out / "width.png", {"": lines}, x_label="width",
            y_label="milliseconds a vote", title="Wider networks",
        )  # fmt: skip
        parts.append("![milliseconds over width](width.png)")
    print(results.write(out, "certify", contests, "\n\n".join(parts), setting))


def speeds(one: Contest) -> tables.Table:
    """Every contestant's votes, what they cost, and the ratios."""
    ceiling = one.best("ceiling")
    most = ceiling.rate * ceiling.facts["flops"]
    columns = {
        "of the ceiling": lambda r: f"{r.rate * one.facts['flops'] / most:.2f}",
        "s a clip, n=10,000": lambda r: _seconds(10_000 / r.rate),
        "n=100,000": lambda r: _seconds(100_000 / r.rate),
        "memory, GiB": lambda r: f"{max(t.peak_bytes for t in r.turns) / 2**30:.2f}",
    }
    notes = [
        f"the ceiling: {most / 1e9:.4g} GFLOP/s in a large matrix product; "
        f"{one.facts['flops'] / 1e9:.3f} GFLOP a vote by direct convolution. Ours does "
        "fewer on a CPU (Winograd), so that its share may pass 1",
        "s a clip follows from votes/s; memory: the peak of the processes, or what the "
        "library held on an accelerator",
    ]
    if wrong := one.best("ours").facts["disagreement"]:
        notes.append(f"{wrong:.2%} of 1,000 copies have another winner in float32")
    return results.table(one, AGAINST, columns, notes)


def conclusion(one: Contest) -> str:
    """The best of ours beside the best of the others."""
    ours = one.best("ours")
    said = []
    for kind, name in AGAINST.items():
        by = results.ratio(ours, one.best(kind))
        said.append(
            f"{by.value:.2f} times {name} (95 % interval {by.low:.2f} to {by.high:.2f};"
            f" {by.least:.2f} to {by.greatest:.2f} in single rounds)"
        )
    rival = one.best("torch").name
    return f"Best of ours: {ours.name}: {', '.join(said)}. Best PyTorch: {rival}."


def growth(measured: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Votes and median seconds, over n and over clips."""
    lines = {}
    for what, name in (("n", "votes of one clip"), ("clips", "clips")):
        by_size: dict[int, list[float]] = {}
        for turn in measured[what]:
            by_size.setdefault(turn["units"], []).append(turn["wall_s"])
        lines[name] = [(n, statistics.median(by_size[n])) for n in sorted(by_size)]
    return lines


def growth_text(measured: Mapping[str, Any]) -> str:
    """Exponents and memory of the growth."""
    lines = growth(measured).items()
    slopes = ", ".join(f"{name} {slope(line):.3f}" for name, line in lines)
    turns = measured["n"] + measured["clips"]
    peaks = [turn["peak_bytes"] / 2**20 for turn in turns]
    return (
        f"Exponent of growth from {measured['unit']} to {30 * measured['unit']} votes "
        f"({measured['name']}): {slopes}. Peak memory after the least votes "
        f"{peaks[0]:.0f} MiB, after all {max(peaks):.0f} MiB."
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of growth: of the line of least squares through logarithms."""
    x, y = np.log(np.asarray(points, float)).T
    return float(np.polyfit(x, y, 1)[0])


def _seconds(seconds: float) -> str:
    return f"{seconds:.{max(0, 2 - int(math.log10(max(seconds, 1e-9))))}f}"


if __name__ == "__main__":
    app.run(main)
