"""Attacks on many points, one row each."""

import os
import pathlib
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from advjax.attacks import Attack, AttackResult, run_batch, snapshots
from advjax.attacks.checks import check_classifier, zero_gradient_shares
from advjax.attacks.objectives import is_adversarial
from advjax.evaluation.clean import logits_of_batch
from advjax.evaluation.points import Point, example_key, stacked
from advjax.metrics.distortion import radius_snr_db
from advjax.metrics.robustness import largest_size, off_target
from advjax.padding import apart, of_any
from advjax.runs.row_types import AttackRow
from advjax.signal.samples import from_int16, to_int16
from advjax.types import AnyCallable, Key


class AttackResume(NamedTuple):
    """Attacks of an earlier start, and the snapshots of this one.

    Attributes:
        done: ids that need no row.
        snapshot: file for the state of unfinished attacks. If it exists, the attacks
            continue from it; if it is damaged, its points are attacked anew.
        every_s: seconds from one snapshot to the next.
        on_round: called now and then, also when no point is finished.
        note: called with a sentence about a damaged snapshot.
    """

    done: Collection[str] = ()
    snapshot: pathlib.Path | None = None
    every_s: float = 60.0
    on_round: Callable[[], None] | None = None
    note: Callable[[str], None] = warnings.warn


ANEW = AttackResume()


class Attacked(NamedTuple):
    """The row of an attacked example, and the adversarial example."""

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
    resume: AttackResume = ANEW,
) -> Iterator[Attacked]:
    """Attack each unfinished point; yield its row as soon as it is done.

    Args:
        attack: the attack.
        logits_fn: the classifier after the stage of the points.
        points: points to attack; of one shape, or all padded to one length.
        key: root of all randomness; a point's own key follows from its id.
        budgets: one for each point, in the attack's norm; None for an attack without.
        targets: the class to reach for each point, for a targeted attack.
        num_slots: points attacked at once; None for the backend's default.
        mesh: devices of this process that share the points.
        resume: finished points, and the snapshots of unfinished ones.

    Raises:
        ValueError: the attack cannot be judged on such a classifier or inputs, targets
            are missing, or a budget is.
    """
    if attack.targeted != (targets is not None):
        raise ValueError(
            f"targets={'None' if targets is None else 'given'} for an attack with "
            f"targeted={attack.targeted}: give them for a targeted attack only."
        )
    if not points:
        return
    slots, pending = _unfinished(attack, logits_fn, points, resume)
    if not pending:
        return
    where = {point.id: index for index, point in enumerate(points)}
    chosen = [where[id] for id in pending]
    x = stacked([points[i] for i in chosen])
    labels = np.asarray([points[i].label for i in chosen])
    goals = labels if targets is None else np.asarray([targets[i] for i in chosen])
    budget = None if budgets is None else np.float32([budgets[i] for i in chosen])
    keys = jnp.stack([example_key(key, id) for id in pending])
    last_saved = last_row = time.perf_counter()

    def after_block(slots) -> None:
        nonlocal last_saved
        if resume.on_round is not None:
            resume.on_round()
        now = time.perf_counter()
        if resume.snapshot is not None and now - last_saved >= resume.every_s:
            snapshots.save(resume.snapshot, slots, pending)
            last_saved = time.perf_counter()

    # Checks its arguments now, and runs when the first result is requested.
    results = run_batch(
        attack, logits_fn, x, goals, keys, budget,
        num_slots=num_slots, slots=slots, on_block=after_block, mesh=mesh,
    )  # fmt: skip
    clean = logits_of_batch(logits_fn, x)
    check_classifier(clean, apart(x)[0], attack.bounds)
    zeros = zero_gradient_shares(logits_fn, x, labels)
    last_saved = last_row = time.perf_counter()
    for index, result in results:
        point = points[chosen[index]]
        if point.id in resume.done:
            continue
        row = _attack_row(
            attack,
            point,
            result,
            target=-1 if targets is None else int(goals[index]),
            budget=float("inf") if budget is None else float(budget[index]),
            clean=clean[index],
            zero_gradient=float(zeros[index]),
            time=time.perf_counter() - last_row,
        )
        last_row = time.perf_counter()
        yield Attacked(row, np.asarray(result.x_adv))
    if resume.snapshot is not None:
        resume.snapshot.unlink(missing_ok=True)


def judge_pcm16(
    logits_fn: AnyCallable, row: AttackRow, x_adv: Float[np.ndarray, "time"]
) -> AttackRow:
    """The row with its `success_pcm16`, measured on the file of 16 bits.

    The samples are those that writing and reading a WAV gives. Only successes are
    judged. Of a finished attack a success counts only if it holds.

    Args:
        logits_fn: the classifier, from the waveform on.
        row: of the attacked waveform.
        x_adv: the adversarial example.
    """
    holds = row.success
    if holds:
        samples = from_int16(to_int16(x_adv))[None]
        (logits,) = logits_of_batch(logits_fn, samples, batch_size=1)
        targeted = row.target >= 0
        y = jnp.int32(row.target if targeted else row.label)
        holds = bool(is_adversarial(jnp.asarray(logits), y, targeted=targeted))
    success = row.success if row.success_float32 < 0 else holds
    return row._replace(success=success, success_pcm16=int(holds))


def _unfinished(attack, logits_fn, points, resume: AttackResume):
    """The slots of a valid snapshot, if any, and the ids that they number."""
    snapshot = resume.snapshot
    left = [point.id for point in points if point.id not in resume.done]
    if snapshot is None or not os.path.lexists(snapshot):
        return None, left
    try:
        first, lengths = apart(stacked(points[:1]))
        slots, ids = snapshots.load(
            snapshot, attack, of_any(logits_fn, lengths), jnp.asarray(first[0])
        )
        if not set(ids) <= {point.id for point in points}:
            raise ValueError(f"{snapshot} is of other points")
        working = {ids[number] for number in slots.example if number >= 0}
        if not set(left) <= working.union(ids[slots.following :]):
            raise ValueError(f"{snapshot} has finished points that have no row")
    except ValueError as error:
        if snapshot.is_dir():  # no snapshot can take its place
            raise
        resume.note(f"{error}. The points in mid-attack are attacked anew")
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
    most = largest_size(budget, attack.norm, sizes["l0"], resolution=attack.resolution)
    within = not attack.fixed_budget or sizes[attack.norm] <= most
    before, after = (_probabilities(row) for row in (clean, result.logits))
    old, new = int(before.argmax()), int(after.argmax())
    won = bool(result.success) and within and bool(off_target(point.label, old, target))
    return AttackRow(
        idx=point.idx,
        label=point.label,
        clean=old,
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
        gt=float(before[old]),
        new=float(after[new]),
        gt_new=float(after[old]),
        zero_gradient=zero_gradient,
        success_float32=-1 if result.unfinished is None else int(result.unfinished),
    )


def _probabilities(logits) -> Float[np.ndarray, "classes"]:
    shifted = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return shifted / shifted.sum()
