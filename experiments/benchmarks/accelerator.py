"""All that a few minutes on an accelerator can show, the most worth first.

  python -m experiments.benchmarks.accelerator --minutes=9 --out=FOLDER

Truth on the device: radii of a linear classifier against the exact ones, votes of one
dispatch against many, float32 gradients against the CPU's. Then votes per second in
float32, tf32 and bfloat16 beside PyTorch and the ceiling of a large matrix product, at
mfbe and at the waveform. PGD, DeepFool and Carlini-Wagner beside PyTorch's loop and the
libraries that are installed; a fused adversarial step of ResNet-18 beside PyTorch's; a
certificate from 100,000 votes.

Each part is a process with a time limit: its share of the minutes, and what the parts
before it have left. A part that fails or reaches its limit is a row with the reason.
accelerator.json and accelerator.md in --out are whole after every row, so a cut keeps
what is done.

--small tries all parts on a CPU. Needs PyTorch, but none of the packages that read
audio, build records or train: pip install torch
"""

import pathlib
import time

from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks.parts import Row, Size, plan
from experiments.benchmarks.parts.processes import rows_of
from experiments.benchmarks.parts.reports import Report
from experiments.lab.console import say

flags.declare(
    __name__,
    *(flags.MINUTES, bench.PARTS, bench.SMALL, bench.WIDTHS, bench.TILES),
    *(bench.BATCHES, flags.OUT, flags.HOME, flags.CACHE),
)


def main() -> None:
    """Run the parts in their order, and report after each row."""
    widths = bench.counts(bench.WIDTHS)
    every = {part.name: part for part in plan(widths)}
    parts = [every[name] for name in bench.names(bench.PARTS, every)]
    compiled = pathlib.Path(flags.HOME.value).absolute() / "compiled"
    size = Size(
        bench.SMALL.value, max(widths), bench.counts(bench.TILES),
        bench.counts(bench.BATCHES), str(compiled) if flags.CACHE.value else "",
    )  # fmt: skip
    report = Report(pathlib.Path(flags.OUT.value or "accelerator"), app.command())
    end = time.monotonic() + 60 * flags.value_or(flags.MINUTES, 9.0)
    for number, part in enumerate(parts):
        start = time.monotonic()
        share = part.share / sum(each.share for each in parts[number:])
        limit_s = share * max(0.0, end - start)
        say(f"{part.name}: at most {limit_s:.0f} s")
        rows = report.rows.setdefault(part.name, [])
        for found in rows_of(part, size, limit_s):
            if isinstance(found, Row):
                rows.append(found)
                say("  ".join(f"{cell}" for cell in found if cell not in (None, "")))
            else:
                report.setting = report.setting or found["setting"]
            report.write()
        report.seconds[part.name] = time.monotonic() - start
    print(report.write())


if __name__ == "__main__":
    app.run(main)
