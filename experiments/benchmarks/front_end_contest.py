"""One representation by all who compute it, in turns, once they agree."""

import dataclasses
import functools
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

from advjax.representations import LogMel, MelEnergies, Representation
from advjax.runtime.compilation import compiler_options
from advjax.signal.mel import mel_filterbank
from data_prep.corpora.voices import speak
from experiments.benchmarks import contest
from experiments.benchmarks.front_end_rivals import AT_ONCE, RIVALS, Pass, torch_bare

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
OURS = ("ours", f"ours, {AT_ONCE} at once")
_LOOPS = ("librosa", "python_speech_features")


@dataclasses.dataclass
class Contestant:
    """One way of a pass, and what it took.

    Attributes:
        call: one pass.
        first_s: seconds of the first call, which compiles or imports.
        second_s: of the next, which decides how many make a turn.
        num_calls: in a turn.
        wall_s: seconds a call, one entry a turn.
        cpu_s: the same in seconds of all cores together.
    """

    call: Pass
    first_s: float = 0.0
    second_s: float = 0.0
    num_calls: int = 1
    wall_s: list[float] = dataclasses.field(default_factory=list)
    cpu_s: list[float] = dataclasses.field(default_factory=list)

    def turn(self) -> None:
        """Nothing; adds an entry to both times."""
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(self.num_calls):
            self.call()
        self.wall_s.append((time.perf_counter() - start) / self.num_calls)
        self.cpu_s.append((time.process_time() - cpu_start) / self.num_calls)

    @property
    def median_s(self) -> float:
        """Seconds of a call in the median turn."""
        return statistics.median(self.wall_s)

    @property
    def fastest_s(self) -> float:
        """Seconds of a call in the fastest turn."""
        return min(self.wall_s)


@dataclasses.dataclass
class Result:
    """All contestants at one representation, one kind of pass and one count of clips.

    Attributes:
        name: the representation, as it was asked for.
        representation: what was computed.
        kind: "features", or "gradient": the features and the gradient.
        num_clips: in a call.
        difference: for each other way and array of its pass ("features", "gradient"),
            the greatest difference from ours: absolute, and relative to our largest
            value.
        entrants: ours, all clips at once and in parts, then the rivals' ways.
        left_out: seconds of a call of the ways that are not worth a turn.
        ceiling: bare transforms ("transform ...") and products ("product ...").
    """

    name: str
    representation: Representation
    kind: str
    num_clips: int
    difference: dict[str, dict[str, tuple[float, float]]]
    entrants: dict[str, Contestant]
    left_out: dict[str, float]
    ceiling: dict[str, Contestant]

    @property
    def rivals(self) -> dict[str, Contestant]:
        """All entrants but ours."""
        return {by: one for by, one in self.entrants.items() if by not in OURS}

    @property
    def best_rival(self) -> str | None:
        """The rival with the shortest median."""
        rivals = self.rivals
        return min(rivals, key=lambda by: rivals[by].median_s, default=None)

    def ratios(self, rival: str) -> list[float]:
        """How many times as long as ours the rival took, turn by turn."""
        ours, theirs = self.entrants["ours"], self.entrants[rival]
        return [b / a for a, b in zip(ours.wall_s, theirs.wall_s, strict=True)]

    @property
    def least_s(self) -> float:
        """Seconds that the bare operations of a pass take, each by its fastest.

        The gradient needs each once more, transposed.
        """
        fastest = [
            min(one.median_s for name, one in self.ceiling.items() if operation in name)
            for operation in ("transform", "product")
            if any(operation in name for name in self.ceiling)
        ]
        return sum(fastest) * (2 if self.kind == "gradient" else 1)


def problem(
    representation: Representation, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clips of synthetic speech [clips, time], and a cotangent of their features."""
    speech = np.concatenate([speak(seed, 1.5, speaker, 0) for speaker in range(4)])
    rng = np.random.default_rng(seed)
    starts = rng.integers(len(speech), size=(count, 1))
    index = starts + np.arange(representation.num_samples)
    shape = (count, *representation.feature_shape[:-1])
    return speech[index % len(speech)], rng.normal(size=shape).astype(np.float32)


def compete(
    name: str,
    representation: Representation,
    clips: np.ndarray,
    cotangent: np.ndarray | None,
    *,
    libraries: Sequence[str],
    num_turns: int,
) -> Result:
    """The result of all contestants in turns, once all have computed the same.

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
    calls = {OURS[0]: our_pass(representation, clips, cotangent)}
    if len(clips) > AT_ONCE:
        calls[OURS[1]] = our_pass(representation, clips, cotangent, at_once=AT_ONCE)
    for library in libraries:
        if library not in _LOOPS or len(clips) <= LOOP_CLIPS:
            calls |= RIVALS[library](representation, clips, cotangent)
    bare = _bare_passes(representation, len(clips), libraries)
    entrants = {by: Contestant(call) for by, call in calls.items()}
    ceiling = {by: Contestant(call) for by, call in bare.items()}
    arrays = {by: first_call(one) for by, one in (entrants | ceiling).items()}
    difference = {
        by: _difference(arrays["ours"], arrays[by], f"{by}, {title}")
        for by in entrants
        if by != "ours"
    }
    left_out = _not_worth_a_turn(entrants)
    entrants = {by: one for by, one in entrants.items() if by not in left_out}
    take_turns(list((entrants | ceiling).values()), num_turns)
    return Result(
        name,
        representation,
        kind,
        len(clips),
        difference,
        entrants,
        left_out,
        ceiling,
    )


def _not_worth_a_turn(entrants: Mapping[str, Contestant]) -> dict[str, float]:
    """Seconds of what took over `HOPELESS` times as long as its rival's best way."""
    fastest: dict[str, float] = {}
    for by, one in entrants.items():
        family = by.split()[0]
        fastest[family] = min(fastest.get(family, one.second_s), one.second_s)
    return {
        by: one.second_s
        for by, one in entrants.items()
        if by not in OURS and one.second_s > HOPELESS * fastest[by.split()[0]]
    }


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
        at_once: clips in a round of a compiled loop; None for all at once, which is
            what the project's programs do.
    """

    def both(wave, weights):
        features, pull = jax.vjp(representation.apply, wave)
        return features[..., 0], *pull(weights[..., None])

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


def _bare_passes(
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
        "transform SciPy": lambda: scipy.fft.rfft(frames, workers=contest.num_cores()),
    }
    if "torch" in libraries:
        calls["transform PyTorch"] = torch_bare("rfft", frames)
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
        calls["product PyTorch"] = torch_bare("matmul", power, filters)
    return calls


def _xla(operation, *given: np.ndarray) -> Pass:
    on_device, compiled = jax.device_put(given), jax.jit(operation)
    return lambda: jax.block_until_ready(compiled(*on_device))


def first_call(one: Contestant) -> tuple[Any, ...]:
    """The arrays of the first call; the second tells how many calls make a turn."""
    start = time.perf_counter()
    arrays = one.call()
    one.first_s = time.perf_counter() - start
    start = time.perf_counter()
    one.call()
    one.second_s = time.perf_counter() - start
    one.num_calls = max(1, round(TURN_S / one.second_s))
    return arrays


def _difference(ours, theirs, title: str) -> dict[str, tuple[float, float]]:
    found = {}
    for name, a, b in zip(list(TOLERANCE)[: len(ours)], ours, theirs, strict=True):
        a, b = (np.asarray(x.cpu() if hasattr(x, "cpu") else x) for x in (a, b))
        if a.shape != b.shape:
            raise ValueError(f"{title}: {name} of shape {b.shape}, ours {a.shape}")
        absolute = float(np.abs(a - b).max())
        relative = absolute / float(np.abs(a).max())
        if not relative <= TOLERANCE[name]:
            raise ValueError(
                f"{title}: {name} and ours differ by {absolute:.1e}, {relative:.1e} of "
                f"the largest; {TOLERANCE[name]:.0e} is allowed: not the same front end"
            )
        found[name] = absolute, relative
    return found


def take_turns(contestants: list[Contestant], num_turns: int) -> None:
    """Nothing; times all contestants, every turn in another order."""
    for turn in range(num_turns):
        for place in range(len(contestants)):
            time.sleep(SETTLE_S)
            contestants[(turn + place) % len(contestants)].turn()
