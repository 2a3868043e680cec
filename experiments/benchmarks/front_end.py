"""The representations beside PyTorch, librosa and python_speech_features.

  python -m experiments.benchmarks.front_end

Computes every representation from the waveform, for clips of a synthetic voice as long
as the representation takes them: the features alone, and the features with the gradient
at the waveform, which an attack on the waveform needs. The rivals read their constants
from the representation; their features and gradients are compared with ours before
anything is timed. Then all take turns, every turn in another order. The first call,
which compiles, is apart. The last column relates ours to a ceiling measured in the same
turns: the bare transforms and mel products of as many frames, ready in memory.

Prints a Markdown table. --out=FOLDER also writes it there, as table.md, every turn as
front_end.json, and front_end.png.

PyTorch 2.13.0 comes with pip install 'advjax[bench]', python_speech_features with
'advjax[test]'; --rivals leaves out what is not there.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

from advjax import catalog
from advjax.reports import tables
from advjax.representations import (
    REPRESENTATIONS,
    LogMel,
    MelEnergies,
    Representation,
    definition,
)
from advjax.runtime import parallel
from advjax.runtime.compilation import compiler_options
from advjax.signal.mel import mel_filterbank
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, problems, results
from experiments.benchmarks.results import Contest
from experiments.benchmarks.rivals import front_ends
from experiments.benchmarks.rivals.front_ends import AT_ONCE, RIVALS, Pass

_TIMED = ["magnitude", "mfbe", "logmel"]

flags.declare(
    __name__,
    *(flags.REPRESENTATION, bench.RIVALS, bench.CLIPS, bench.TURNS),
    *(flags.OUT, flags.SEED),
)

TOLERANCE = {"features": 1e-4, "gradient": 1e-3}
"""Greatest difference from ours, relative to the largest of our values: float32 sums in
another order. The gradient of a magnitude turns with its phase, which near zero is mere
rounding: how often that shows depends on the clip."""
TURN_S = 0.03
"""Seconds of a turn at least: a call with one clip is over before the clock is sure."""
LOOP_CLIPS = 32
"""What goes through the clips one by one takes part up to this many: its rate stays."""
SETTLE_S = 0.04
"""Before each turn: threads of OpenBLAS and OpenMP look for more work about that long
after a call. Ours took 1.6 times as long straight after a NumPy product."""
HOPELESS = 3.0
"""PyTorch has several ways, of which only the fastest counts."""
_IN_PARTS = f"ours, {AT_ONCE} at once"
_LOOPS = ("librosa", "python_speech_features")
_FAMILIES = ("PyTorch", *_LOOPS)
"""Kinds of rivals, with which the names of their ways begin."""


def main() -> None:
    """Compare, take turns, report."""
    table = {name: REPRESENTATIONS[name] for name in _TIMED}
    chosen = flags.REPRESENTATION.value or _TIMED
    representations = {text: catalog.pick(text, table) for text in chosen}
    counts = [_count(text) for text in bench.CLIPS.value]
    libraries = bench.RIVALS.value or list(RIVALS)
    front_ends.check(libraries)
    # What compiling takes is measured, whatever an earlier start has left.
    jax.config.update("jax_enable_compilation_cache", False)
    contests = []
    for name, representation in representations.items():
        for count in counts:
            clips, cotangent = problems.voices(representation, count, flags.SEED.value)
            for wanted in (None, cotangent):
                one = compete(
                    name, representation, clips, wanted,
                    libraries=libraries, num_turns=bench.TURNS.value,
                )  # fmt: skip
                contests.append(one)
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for one in contests:
        panel = panels.setdefault(f"{one.facts['name']}, {one.facts['pass']}", {})
        for kind in ("ours", _IN_PARTS, *_FAMILIES):
            if (best := one.best(kind)) is not None:
                panel.setdefault(kind, []).append((one.facts["clips"], best.rate))
    print(results.write(
        flags.OUT.value, "front_end", contests, tables.as_markdown(summary(contests)),
        results.setting(libraries), markdown="table.md", panels=panels,
        x_label="clips in a call",
    ))  # fmt: skip


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"--clips={text}: give whole numbers of 1 or more")
    return int(text)


def compete(
    name: str,
    representation: Representation,
    clips: np.ndarray,
    cotangent: np.ndarray | None,
    *,
    libraries: Sequence[str],
    num_turns: int,
) -> Contest:
    """The contest at one representation, kind of pass and count of clips.

    Args:
        name: of the representation in reports.
        representation: what to compute.
        clips: waveforms [clips, time].
        cotangent: of the features, [clips, frames, bins], for their gradient too.
        libraries: names in `RIVALS`.
        num_turns: of each contestant.

    Raises:
        ValueError: a rival's features or gradients are not ours.
    """
    kind = "features" if cotangent is None else "gradient"
    title = f"{name}, {kind}, {len(clips)} clips"
    calls = {"ours": our_pass(representation, clips, cotangent)}
    if len(clips) > AT_ONCE:
        calls[_IN_PARTS] = our_pass(representation, clips, cotangent, at_once=AT_ONCE)
    for library in libraries:
        if library not in _LOOPS or len(clips) <= LOOP_CLIPS:
            calls |= RIVALS[library](representation, clips, cotangent)
    contestants = [
        harness.in_process(
            by,
            by if by in ("ours", _IN_PARTS) else by.split()[0],
            call,
            batch=len(clips),
        )
        for by, call in calls.items()
    ] + [
        harness.in_process(by, "ceiling", call, batch=len(clips))
        for by, call in bare_passes(representation, len(clips), libraries).items()
    ]
    difference: dict[str, dict[str, float]] = {}

    def check(entrants: Sequence[harness.Entrant]) -> None:
        equals = [one for one in entrants if one.contestant.kind != "ceiling"]
        for index, _ in enumerate(equals[0].result):
            what = list(TOLERANCE)[index]
            arrays = {one.contestant.name: _array(one.result[index]) for one in equals}
            difference[what] = harness.differences(
                arrays, TOLERANCE[what], f"{title}: {what}"
            )

    found = harness.contest(
        contestants, rounds=num_turns, size=units_of_turns, check=check,
        settle_s=SETTLE_S, title=title,
    )  # fmt: skip
    facts = {
        "name": name,
        "pass": kind,
        "clips": len(clips),
        "clip_s": representation.num_samples / representation.sample_rate_hz,
        "representation": definition(representation),
        "difference": difference,
    }
    return Contest(title, "clips", found, facts)


def units_of_turns(entrants: Sequence[harness.Entrant]) -> list[int]:
    """Whole calls for `TURN_S`; 0 for a rival's way far slower than its best."""
    units = harness.turns_of(TURN_S)(entrants)
    fastest: dict[str, float] = {}
    for one in entrants:
        kind = one.contestant.kind
        fastest[kind] = min(fastest.get(kind, one.last.wall_s), one.last.wall_s)
    return [
        0
        if one.contestant.kind in _FAMILIES
        and one.last.wall_s > HOPELESS * fastest[one.contestant.kind]
        else count
        for one, count in zip(entrants, units, strict=True)
    ]


def _array(x) -> np.ndarray:
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x)


def our_pass(
    representation: Representation,
    clips: np.ndarray,
    cotangent: np.ndarray | None,
    *,
    at_once: int | None = None,
) -> Pass:
    """The representation, compiled for a batch.

    Args:
        representation: what to compute.
        clips: waveforms [clips, time].
        cotangent: of the features, [clips, frames, bins], for their gradient too.
        at_once: so many clips after each other, or None for all at once.
    """

    def both(wave, weights):
        features, vjp = jax.vjp(lambda wave: representation.apply(wave)[..., 0], wave)
        return features, *vjp(weights)

    def forward(wave):
        return (representation.apply(wave)[..., 0],)

    given = (clips,) if cotangent is None else (clips, cotangent)
    given = jax.device_put(given)
    one = forward if cotangent is None else both

    def in_rounds(*given):
        return jax.lax.map(lambda clip: one(*clip), given, batch_size=at_once)

    many = jax.vmap(one) if at_once is None else in_rounds
    compiled = jax.jit(many, compiler_options=compiler_options())
    return lambda: jax.block_until_ready(compiled(*given))


def bare_passes(
    representation: Representation, count: int, libraries: Sequence[str]
) -> dict[str, Pass]:
    """The transforms and mel products of so many clips and nothing else."""
    chain = {member.name: member for member in representation.chain()}
    if "magnitude" not in chain:
        return {}
    magnitude = chain["magnitude"]
    num_rows = count * magnitude.feature_shape[0]
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(num_rows, magnitude.num_fft)).astype(np.float32)
    calls = {
        "transform XLA": _xla(jnp.fft.rfft, frames),
        "transform SciPy": lambda: scipy.fft.rfft(frames, workers=parallel.num_cores()),
    }
    if "torch" in libraries:
        calls["transform PyTorch"] = front_ends.torch_bare("rfft", frames)
    if not isinstance(representation, MelEnergies | LogMel):
        return calls
    filters = mel_filterbank(
        num_bands=representation.num_bands,
        num_fft=magnitude.num_fft,
        sample_rate_hz=magnitude.sample_rate_hz,
    )
    power = rng.random(size=(num_rows, len(filters)), dtype=np.float32)
    product = functools.partial(jnp.matmul, precision="highest")
    calls |= {
        "product XLA": _xla(product, power, filters),
        "product NumPy": lambda: power @ filters,
    }
    if "torch" in libraries:
        calls["product PyTorch"] = front_ends.torch_bare("matmul", power, filters)
    return calls


def _xla(operation, *given: np.ndarray) -> Pass:
    on_device, compiled = jax.device_put(given), jax.jit(operation)
    return lambda: jax.block_until_ready(compiled(*on_device))


def least_s(one: Contest) -> float | None:
    """Seconds a clip of the bare operations of a pass, each by its fastest.

    The gradient needs each once more, transposed.
    """
    bare = [result for result in one.results if result.kind == "ceiling"]
    fastest = [
        min(times)
        for operation in ("transform", "product")
        if (times := [r.median_s for r in bare if operation in r.name])
    ]
    return sum(fastest) * (2 if one.facts["pass"] == "gradient" else 1) or None


_HEADER = (
    "representation",
    "pass",
    "clips",
    "ours: first call, s",
    "clips/s",
    "s of audio/s",
    f"{AT_ONCE} at once, clips/s",
    *(f"{family}, clips/s" for family in _FAMILIES),
    "best rival",
    "differ by",
    "times the best rival",
    "by CPU time",
    "by fastest turns",
    f"{AT_ONCE} at once, times",
    "of the bare operations' speed",
)


def summary(contests: Sequence[Contest]) -> tables.Table:
    """A row for each contest."""
    clip_s = {one.facts["name"]: one.facts["clip_s"] for one in contests}
    notes = [
        "features: from the waveform; gradient: the features, and the gradient of a "
        "weighted sum of them at the waveform. Clips of a synthetic voice, "
        + ", ".join(f"{name} of {each:g} s" for name, each in clip_s.items()),
        "ours: jit and vmap over all clips, as the project's programs do it; "
        f"{AT_ONCE} at once: jax.lax.map over parts of the batch",
        "PyTorch: the fastest of torch.stft and frames with torch.fft.rfft, each with "
        f"all clips at once and with {AT_ONCE}, with one thread and with all",
        "differ by: the greatest difference of any other way from ours, relative to "
        "our largest value; refused beyond "
        + ", ".join(f"{limit:.0e} ({name})" for name, limit in TOLERANCE.items()),
        results.rounds_note(contests[0]),
        f"a turn takes {TURN_S:g} s at least; by fastest turns: the ratio that other "
        "programs on the machine disturb least",
        "of the bare operations' speed: the time of the transforms and mel products of "
        "as many frames that lie ready in memory, by the fastest of XLA, PyTorch and "
        "SciPy (twice that with the gradient), over the time of ours",
        f"{tables.DASH}: left out, without gradients, or a loop over clips, whose rate "
        f"more than {LOOP_CLIPS} of them do not change",
    ]
    return tables.Table(_HEADER, [_row(one) for one in contests], notes)


def _row(one: Contest) -> list[str]:
    ours, in_parts, rival = one.best("ours"), one.best(_IN_PARTS), one.best(*_FAMILIES)
    against = [tables.DASH] * 6
    if rival is not None:
        differences = [
            each for by in one.facts["difference"].values() for each in by.values()
        ]
        fastest = [r.per_unit().min() for r in one.results if r.kind in _FAMILIES]
        against = [
            rival.name,
            f"{max(differences):.0e}",
            str(results.ratio(ours, rival)),
            str(results.ratio(ours, rival, "cpu_s")),
            f"{min(fastest) / ours.per_unit().min():.2f}",
            str(results.ratio(in_parts, rival)) if in_parts else tables.DASH,
        ]
    bests = [in_parts, *(one.best(family) for family in _FAMILIES)]
    least = least_s(one)
    return [
        one.facts["name"],
        one.facts["pass"],
        str(one.facts["clips"]),
        f"{ours.first.wall_s:.2f}",
        f"{ours.rate:,.0f}",
        f"{one.facts['clip_s'] * ours.rate:,.0f}",
        *(tables.DASH if best is None else f"{best.rate:,.0f}" for best in bests),
        *against,
        tables.DASH if least is None else f"{least / ours.median_s:.2f}",
    ]


if __name__ == "__main__":
    app.run(main)
