"""Classifiers over many examples: one compiled program, one row per example.

An example's randomness comes from its id, so that rows do not depend on their order, on
which other examples there are, or on where a run was interrupted.
"""

import functools
import hashlib
import math
import os
import pathlib
import time
import types
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from advjax.arguments import float_example, in_float32, num_classes
from advjax.attacks import Attack, AttackResult, run_batch, snapshots
from advjax.attacks.checks import (
    check_classifier,
    example_like,
    zero_gradient_shares,
)
from advjax.callables import join, split
from advjax.classifier import Classifier
from advjax.metrics.distortion import radius_snr_db
from advjax.metrics.robustness import off_target
from advjax.representations import Representation
from advjax.runs.row_types import AttackRow, CertificateRow
from advjax.runtime.compilation import compiler_options
from advjax.signal.samples import from_int16
from advjax.smoothing import (
    BOUNDS,
    NO_VOTES,
    Example,
    Noise,
    Tally,
    certify_each,
    certify_sequentially,
)
from advjax.types import AnyArray, AnyCallable, Key


class Point(NamedTuple):
    """One example to evaluate, at the stage where noise or a perturbation enters."""

    idx: int
    id: str
    x: Float[np.ndarray, "*features"]
    label: int
    wave_l2: float = math.nan
    """The l2 norm of its clip at the waveform, where anyone asks for it."""


def example_key(key: Key, id: str) -> Key:
    """The key of one example: 64 bits of the SHA-256 of its id, folded into `key`."""
    digest = hashlib.sha256(id.encode()).digest()
    high, low = (int.from_bytes(digest[i : i + 4], "big") for i in (0, 4))
    return jax.random.fold_in(jax.random.fold_in(key, high), low)


def stage_features(
    stage: Representation, audio: Int[np.ndarray, "time"]
) -> Float[np.ndarray, "*features"]:
    """The stage's array of one clip of stored int16 audio."""
    return np.asarray(_apply(stage, from_int16(np.asarray(audio))))


_apply = jax.jit(lambda stage, wave: stage.apply(wave), static_argnums=0)


def logits_of_batch(
    logits_fn: AnyCallable, x: AnyArray, *, batch_size: int = 50
) -> Float[np.ndarray, "examples classes"]:
    """Logits of many examples, `batch_size` at a time (the last batch is padded).

    Raises:
        ValueError: a function that does not turn one example into one row of logits, or
            examples that hold no floating numbers.
    """
    x = np.asarray(float_example(x))
    classes = num_classes(logits_fn, example_like(x))
    arrays, static = split(logits_fn)
    rows = [np.zeros((0, classes), np.float32)]
    for start in range(0, len(x), batch_size):
        part = x[start : start + batch_size]
        padding = [(0, batch_size - len(part))] + [(0, 0)] * (part.ndim - 1)
        found = _logits_each()(static, arrays, np.pad(part, padding))
        rows.append(np.asarray(found)[: len(part)])
    return np.concatenate(rows)


@functools.cache
def _logits_each():
    # Made at the first call: the options are probed on the backend, which an import
    # must not start.
    return jax.jit(
        lambda static, arrays, x: jax.vmap(in_float32(join(arrays, static)))(x),
        static_argnums=0,
        compiler_options=compiler_options(),
    )


def clean_accuracy(
    classifier: Classifier,
    x: Float[np.ndarray, "examples *features"],
    y: Int[np.ndarray, "examples"],
    *,
    at: str,
    noise: Noise | None = None,
    key: Key | None = None,
) -> float:
    """Share of examples classified right, with one draw of `noise` each if given."""
    if noise is not None:
        keys = jax.random.split(key, len(x))
        x = np.asarray(jax.jit(jax.vmap(noise.sample))(keys, jnp.asarray(x)))
    logits = logits_of_batch(classifier.logits_fn(at), x)
    return float((logits.argmax(axis=-1) == np.asarray(y)).mean())


def certify_points(
    logits_fn: AnyCallable,
    points: Iterable[Point],
    key: Key,
    *,
    noise: Noise,
    num_selection: int,
    num_estimation: int,
    alpha: float,
    bound: str = "clopper_pearson",
    radii: Sequence[float] = (),
    waveform_bound: float = math.nan,
    tile: int | None = None,
    tiles_at_once: int | None = None,
    chunk: int | None = None,
    mesh: Mesh | None = None,
    done: Collection[str] = (),
    tallies: Mapping[str, Tally] = types.MappingProxyType({}),
    on_tally: Callable[[str, Tally], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[CertificateRow]:
    """One row per point that is not `done` yet, as soon as it is certified.

    With the sequential bound, points that need few votes overtake others. A row's time
    runs from the row before: while the last votes of a point are read, the device is at
    work on the next.

    Args:
        logits_fn: the classifier after the stage that `points` are at.
        points: what to certify.
        key: root of all noise; a point's own key follows from its id.
        noise: the smoothing law.
        num_selection: votes that choose the class.
        num_estimation: fresh votes that bound its probability; with the sequential
            bound the most of them.
        alpha: failure probability of one certificate.
        bound: a name in `smoothing.BOUNDS`: "sequential" stops a point's votes as soon
            as `radii` are decided.
        radii: radii that the sequential bound is asked about.
        waveform_bound: the most that the stage moves for 1 at the waveform, see
            `lipschitz_bound`; NaN for none. Points need their `wave_l2` with one.
        tile: noisy copies evaluated at once; None for the bound's and the backend's
            default.
        tiles_at_once: with the sequential bound, tiles evaluated side by side.
        chunk: tiles per dispatch; None for the default.
        mesh: devices that share the votes.
        done: ids that need no row.
        tallies: by id, votes that an earlier start has counted.
        on_tally: called after each dispatch with a point's id and its votes so far.
        clock: seconds from any fixed moment.

    Raises:
        ValueError: there is no such bound, or what `certify` refuses.
    """
    points = [point for point in points if point.id not in done]
    examples = (
        Example(point.x, example_key(key, point.id), tallies.get(point.id, NO_VOTES))
        for point in points
    )
    options = {
        "noise": noise,
        "num_selection": num_selection,
        "num_estimation": num_estimation,
        "alpha": alpha,
        "tile": tile,
        "chunk": chunk,
        "mesh": mesh,
        "on_tally": on_tally
        and (lambda number, tally: on_tally(points[number].id, tally)),
    }
    if bound == "sequential":
        certificates = certify_sequentially(
            logits_fn, examples, radii=radii, tiles_at_once=tiles_at_once, **options
        )
    elif bound == "clopper_pearson":
        certificates = enumerate(certify_each(logits_fn, examples, **options))
    else:
        raise ValueError(f"bound={bound!r}: give one of {', '.join(BOUNDS)}.")
    start = clock()
    for number, found in certificates:
        point = points[number]
        radius_wave, radius_wave_snr_db = _at_waveform(
            found.radius, waveform_bound, point.wave_l2
        )
        yield CertificateRow(
            idx=point.idx,
            label=point.label,
            predict=found.prediction,
            radius=found.radius,
            correct=found.prediction == point.label,
            time=clock() - start,
            id=point.id,
            p_lower=found.p_lower,
            votes=found.votes,
            n=found.num_estimation,
            snr_db=(
                radius_snr_db(point.x, found.radius) if noise.norm == "l2" else math.nan
            ),
            radius_wave=radius_wave,
            radius_wave_snr_db=radius_wave_snr_db,
        )
        start = clock()


def _at_waveform(radius: float, bound: float, wave_l2: float) -> tuple[float, float]:
    """A stage's radius as one at the waveform, and its SNR there in dB."""
    if math.isnan(bound):
        return math.nan, math.nan
    return radius / bound, radius_snr_db(np.array([wave_l2]), radius / bound)


class Attacked(NamedTuple):
    """One attacked example: what is written about it, and the example itself."""

    row: AttackRow
    x_adv: Float[np.ndarray, "*features"]


def attack_points(
    attack: Attack,
    logits_fn: AnyCallable,
    points: Sequence[Point],
    key: Key,
    *,
    budgets: Sequence[float] | None = None,
    targets: Sequence[int] | None = None,
    num_slots: int | None = None,
    mesh: Mesh | None = None,
    done: Collection[str] = (),
    snapshot: pathlib.Path | None = None,
    snapshot_every_s: float = 60.0,
    on_round: Callable[[], None] | None = None,
    note: Callable[[str], None] = warnings.warn,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Attacked]:
    """Each point that is not `done` yet, attacked, as soon as it is finished.

    Args:
        attack: what to run.
        logits_fn: the classifier after the stage that `points` are at.
        points: what to attack.
        key: root of all randomness; a point's own key follows from its id.
        budgets: one a point, in the attack's norm; None for attacks without.
        targets: the class to reach for each point, for a targeted attack.
        num_slots: points attacked at once; None for the backend's default.
        mesh: devices of this process that share these points.
        done: ids that need no row.
        snapshot: a file that keeps points in mid-attack; found, it is continued. If it
            is damaged, its points are attacked anew.
        snapshot_every_s: seconds from one snapshot to the next.
        on_round: called now and then, also when no point is finished.
        note: told, in a sentence, what is wrong with a snapshot.
        clock: seconds from any fixed moment.

    Raises:
        ValueError: a classifier or inputs that no attack can be judged on, targets
            missing, or an attack within a budget without one.
    """
    if attack.targeted != (targets is not None):
        raise ValueError(
            "a targeted attack needs the class to reach for each point, and an "
            "untargeted one has none"
        )
    if not points:
        return
    slots, pending = _unfinished(attack, logits_fn, points, done, snapshot, note)
    if not pending:
        return
    where = {point.id: index for index, point in enumerate(points)}
    chosen = [where[id] for id in pending]
    x = np.stack([points[i].x for i in chosen])
    labels = np.asarray([points[i].label for i in chosen])
    goals = labels if targets is None else np.asarray([targets[i] for i in chosen])
    budget = None if budgets is None else np.float32([budgets[i] for i in chosen])
    keys = jnp.stack([example_key(key, id) for id in pending])
    last_saved = last_row = clock()

    def after_block(slots) -> None:
        nonlocal last_saved
        if on_round is not None:
            on_round()
        if snapshot is not None and clock() - last_saved >= snapshot_every_s:
            snapshots.save(snapshot, slots, pending)
            last_saved = clock()

    # Refuses what it can before anything is compiled; nothing runs until it is asked.
    results = run_batch(
        attack, logits_fn, x, goals, keys, budget,
        num_slots=num_slots, slots=slots, on_block=after_block, mesh=mesh,
    )  # fmt: skip
    clean = logits_of_batch(logits_fn, x)
    check_classifier(clean, x, attack.bounds)
    zeros = zero_gradient_shares(logits_fn, x, labels)
    last_saved = last_row = clock()
    for index, result in results:
        point = points[chosen[index]]
        if point.id in done:
            continue
        row = _attack_row(
            attack,
            point,
            result,
            target=-1 if targets is None else int(goals[index]),
            budget=float("inf") if budget is None else float(budget[index]),
            clean=clean[index],
            zero_gradient=float(zeros[index]),
            time=clock() - last_row,
        )
        last_row = clock()
        yield Attacked(row, np.asarray(result.x_adv))
    if snapshot is not None:
        snapshot.unlink(missing_ok=True)


def _unfinished(attack, logits_fn, points, done, snapshot, note):
    """The slots of a snapshot, if there is a good one, and the ids that they number."""
    left = [point.id for point in points if point.id not in done]
    if snapshot is None or not os.path.lexists(snapshot):
        return None, left
    try:
        slots, ids = snapshots.load(
            snapshot, attack, logits_fn, jnp.asarray(points[0].x)
        )
        if not set(ids) <= {point.id for point in points}:
            raise ValueError(f"{snapshot} is of other points")
        working = {ids[number] for number in slots.example if number >= 0}
        if not set(left) <= working.union(ids[slots.following :]):
            raise ValueError(f"{snapshot} has finished points that have no row")
    except ValueError as error:
        if snapshot.is_dir():  # no snapshot can take its place
            raise
        note(f"{error}. The points in mid-attack are attacked anew")
        return None, left
    return slots, ids


def _attack_row(
    attack: Attack,
    point: Point,
    result: AttackResult,
    *,
    target: int,
    budget: float,
    clean: Float[np.ndarray, "classes"],
    zero_gradient: float,
    time: float,
) -> AttackRow:
    x, x_adv = (np.asarray(a, np.float64).ravel() for a in (point.x, result.x_adv))
    delta = x_adv - x
    sizes = {
        "linf": float(np.abs(delta).max()),
        "l2": float(np.linalg.norm(delta)),
        "l0": int((delta != 0).sum()),
    }
    # To float32 rounding: entries near 1 move in steps of 6e-8, whatever the budget.
    within = not attack.fixed_budget or sizes[attack.norm] <= budget * (1 + 1e-5) + 1e-6
    before, after = (_probabilities(row) for row in (clean, result.logits))
    answer, new = int(before.argmax()), int(after.argmax())
    won = (
        bool(result.success)
        and within
        and bool(off_target(point.label, answer, target))
    )
    return AttackRow(
        idx=point.idx,
        label=point.label,
        clean=answer,
        target=target,
        predict=new,
        success=won,
        queries=int(result.queries),
        time=time,
        id=point.id,
        budget=budget,
        snr_db=radius_snr_db(point.x, sizes["l2"]),
        linf=sizes["linf"],
        l2=sizes["l2"],
        l0=sizes["l0"],
        gt=float(before[answer]),
        new=float(after[new]),
        gt_new=float(after[answer]),
        zero_gradient=zero_gradient,
    )


def _probabilities(logits) -> Float[np.ndarray, "classes"]:
    shifted = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return shifted / shifted.sum()
