"""The representations beside PyTorch, librosa and python_speech_features.

  python -m experiments.benchmarks.front_end

Computes every representation from the waveform, for clips of a synthetic voice as long
as the representation takes them: the features alone, and the features with the gradient
at the waveform, which an attack on the waveform needs. The rivals read their constants
from the representation; their features and gradients are compared with ours before
anything is timed. The first call, which compiles, is apart. The ceiling is measured in
the same turns: the bare transforms and mel products of as many frames, in memory.

Prints a Markdown table. --out=FOLDER also writes it there, as front_end.md, every turn
as front_end.json, and front_end.png.

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
from advjax.runtime import failures, parallel
from advjax.runtime.compilation import compiler_options
from advjax.signal.mel import mel_filterbank
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, problems, results
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals import pytorch
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
rounding; the clip decides how often that shows."""
TURN_S = 0.03
"""Least seconds of a turn: a call with one clip is too short for the clock."""
LOOP_CLIPS = 32
"""Most clips of the rivals that loop over clips: more do not change their rate."""
SETTLE_S = 0.04
"""Pause before each turn: threads of OpenBLAS and OpenMP look for more work about that
long after a call. Ours took 1.6 times as long straight after a NumPy product."""
HOPELESS = 3.0
"""Times the fastest way of the same rival, beyond which a way takes no turns."""
_IN_PARTS = f"ours, {AT_ONCE} at once"
_LOOPS = ("librosa", "python_speech_features")


def main() -> None:
    """Compare, take turns, report."""
    table = {name: REPRESENTATIONS[name] for name in _TIMED}
    chosen = flags.REPRESENTATION.value or _TIMED
    representations = {text: catalog.pick(text, table) for text in chosen}
    counts = bench.counts(bench.CLIPS)
    libraries = bench.names(bench.RIVALS, RIVALS)
    failures.need(*libraries)
    if "torch" in libraries:
        pytorch.start()
    problems.compile_afresh()
    contests = []
    for name, representation in representations.items():
        for count in counts:
            clips, cotangent = problems.voices(representation, count, flags.SEED.value)
            for wanted in (None, cotangent):
                contests.append(
                    compete(
                        name, representation, clips, wanted,
                        libraries=libraries, num_turns=bench.TURNS.value,
                    )
                )  # fmt: skip
    print(results.write(
        flags.OUT.value, "front_end", contests, summary(contests),
        results.setting(libraries), x="clips",
    ))  # fmt: skip


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

    It takes waveforms [clips, time] and, for the gradient too, a cotangent of the
    features [clips, frames, bins].

    Raises:
        ValueError: a rival's features or gradients are not ours.
    """
    kind = "features" if cotangent is None else "gradient"
    title = f"{name}, {kind}, {len(clips)} clips"
    calls = {"ours": {"ours": our_pass(representation, clips, cotangent)}}
    if len(clips) > AT_ONCE:
        parts = our_pass(representation, clips, cotangent, at_once=AT_ONCE)
        calls[_IN_PARTS] = {_IN_PARTS: parts}
    for library in libraries:
        if library not in _LOOPS or len(clips) <= LOOP_CLIPS:
            calls[library] = RIVALS[library](representation, clips, cotangent)
    calls["ceiling"] = bare_passes(representation, len(clips))
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
        (
            harness.in_process(by, kind, call, batch=len(clips))
            for kind, ways in calls.items()
            for by, call in ways.items()
        ),
        rounds=num_turns, size=units_of_turns, check=check, settle_s=SETTLE_S,
        title=title,
    )  # fmt: skip
    facts = {
        "panel": f"{name}, {kind}",
        "clips": len(clips),
        "clip_s": representation.num_samples / representation.sample_rate_hz,
        "representation": definition(representation),
        "difference": difference,
    }
    if least_s := bare_s(found) * (1 if cotangent is None else 2):
        facts["ceiling"] = 1 / least_s
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
        if one.contestant.kind in RIVALS
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
    """The representation, compiled for waveforms [clips, time].

    A cotangent of the features, [clips, frames, bins], asks for their gradient too.
    `at_once` clips are computed after each other; by default all at once.
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


def bare_passes(representation: Representation, count: int) -> dict[str, Pass]:
    """The bare transforms and mel products of the frames of so many clips."""
    chain = {member.name: member for member in representation.chain()}
    if "magnitude" not in chain:
        return {}
    magnitude = chain["magnitude"]
    num_rows = count * magnitude.feature_shape[0]
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(num_rows, magnitude.num_fft)).astype(np.float32)
    transform = functools.partial(scipy.fft.rfft, workers=parallel.num_cores())
    calls = {
        "transform XLA": _xla(jnp.fft.rfft, frames),
        "transform SciPy": functools.partial(transform, frames),
    }
    if isinstance(representation, MelEnergies | LogMel):
        filters = mel_filterbank(
            num_bands=representation.num_bands,
            num_fft=magnitude.num_fft,
            sample_rate_hz=magnitude.sample_rate_hz,
        )
        power = rng.random(size=(num_rows, len(filters)), dtype=np.float32)
        product = functools.partial(jnp.matmul, precision="highest")
        calls["product XLA"] = _xla(product, power, filters)
        calls["product NumPy"] = functools.partial(np.matmul, power, filters)
    return calls


def _xla(operation, *given: np.ndarray) -> Pass:
    on_device, compiled = jax.device_put(given), jax.jit(operation)
    return lambda: jax.block_until_ready(compiled(*on_device))


def bare_s(found: Sequence[Result]) -> float:
    """Seconds a clip of the bare operations of a forward pass, each by its fastest.

    The gradient needs each once more, transposed.
    """
    bare = [result for result in found if result.kind == "ceiling"]
    return sum(
        min(times)
        for operation in ("transform", "product")
        if (times := [r.median_s for r in bare if operation in r.name])
    )


def summary(contests: Sequence[Contest]) -> tables.Table:
    """A row for the fastest way of each kind in each contest."""
    clip_s = {
        one.facts["panel"].rpartition(",")[0]: one.facts["clip_s"] for one in contests
    }
    greatest = dict.fromkeys(TOLERANCE, 0.0)
    for one in contests:
        for what, by in one.facts["difference"].items():
            greatest[what] = max(greatest[what], *by.values(), 0.0)
    notes = [
        "features: from the waveform; gradient: the features, and the gradient of a "
        "weighted sum of them at the waveform. Clips of a synthetic voice, "
        + ", ".join(f"{name} of {each:g} s" for name, each in clip_s.items()),
        "ours: jit and vmap over all clips, as the project's programs do it; "
        f"{AT_ONCE} at once: jax.lax.map over parts of the batch",
        "PyTorch: the fastest of torch.stft and frames with torch.fft.rfft, each with "
        f"all clips at once and with {AT_ONCE}, with one thread and with all",
        "greatest difference of any other way from ours, relative to our largest value:"
        + ", ".join(f" {each:.0e} ({what})" for what, each in greatest.items()),
        f"a turn takes {TURN_S:g} s at least; librosa and python_speech_features have "
        f"no gradients, and loop over at most {LOOP_CLIPS} clips",
        "the ceiling: the transforms and mel products of as many frames in memory, by "
        "the faster of XLA and SciPy with NumPy; twice that time with the gradient",
    ]
    against = {"the best rival": list(RIVALS)}
    return results.table(contests, against, notes=notes, only_best=True)


if __name__ == "__main__":
    app.run(main)
