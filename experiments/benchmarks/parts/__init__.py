"""Parts of `benchmarks.accelerator`, each a process of its own with a time limit.

This file imports no JAX: the program leaves the device to its parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Size(NamedTuple):
    """Sizes of the work.

    Attributes:
        small: true for a CPU, to try the program.
        width: channels of the ResCNN's first stage in all parts but certify's.
        tiles: noisy copies that we evaluate at once; empty for the default.
        batches: those that PyTorch evaluates at once; empty for the default.
        cache: folder of compiled programs; empty for none.
    """

    small: bool
    width: int
    tiles: Sequence[int]
    batches: Sequence[int]
    cache: str


class Row(NamedTuple):
    """One figure.

    Attributes:
        work: what is done; rows of the same work are compared.
        name: of the contestant or check.
        kind: "ours", "ceiling", "check", "wrong" (a check that failed), "failed", or a
            kind of rival.
        figure: the result; None where it failed.
        unit: of the figure.
        first_s: seconds of the first call, which compiles; None where none is timed.
        note: more about it, or the reason of the failure.
    """

    work: str
    name: str
    kind: str
    figure: float | None = None
    unit: str = ""
    first_s: float | None = None
    note: str = ""


class Part(NamedTuple):
    """A part of the program.

    Attributes:
        name: in tables.
        function: "module:function" of this package, from a `Size` and the options to
            rows.
        share: of the time.
        options: of the function.
    """

    name: str
    function: str
    share: float
    options: Mapping[str, Any] = {}


def plan(widths: Sequence[int]) -> list[Part]:
    """All parts, in order of worth; of the widths, the widest network comes first."""

    def certify(stage: str, width: int, share: float) -> Part:
        options = {"stage": stage, "width": width}
        return Part(f"certify {stage} {width}", "votes:votes", share, options)

    widest, *others = sorted(set(widths), reverse=True)
    return [
        Part("truth", "truth:truth", 1.0),
        certify("mfbe", widest, 2.5),
        certify("waveform", widest, 1.2),
        Part("attacks", "attack:attack", 1.3),
        Part("training", "adversarial_step:adversarial_step", 0.8),
        Part("clip", "clip:clip", 0.5),
        *(
            certify(stage, width, share)
            for width in others
            for stage, share in (("mfbe", 0.8), ("waveform", 0.5))
        ),
    ]
