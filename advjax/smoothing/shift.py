"""Smoothing over every time shift up to a greatest one: exact, without chance.

The smoothed classifier answers with the class of most votes among the copies of a clip
rotated by -max_shift, ..., -step, 0, step, ..., max_shift samples. Rotations add, so a
clip shifted by s steps is voted on by the same copies but s of them: the answer stays
while the lead over every other class is more than the 2 s votes that may change, or is
those 2 s and a tie falls to it, as ties fall to the first class.

Source: derived here; Levine and Feizi 2020, arXiv:2002.10733, count the votes that a
patch of an image can reach, without chance too.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from advjax.arguments import float_example, num_classes
from advjax.callables import apply, split
from advjax.smoothing.counting.placement import default_tile
from advjax.types import AnyArray, AnyCallable, Wave


class ShiftCertificate(NamedTuple):
    """What was proved about one clip, with certainty.

    Attributes:
        prediction: a class; this smoothed classifier never abstains.
        radius: in samples: the prediction is the same for the clip rotated by every
            multiple of the step up to and including it.
        votes: copies given the predicted class.
        num_votes: copies.
    """

    prediction: int
    radius: int
    votes: int
    num_votes: int


def certify_shift(
    logits_fn: AnyCallable, wave: AnyArray, *, max_shift: int, step: int = 1
) -> ShiftCertificate:
    """The prediction over all shifts of a clip, and the shift that cannot change it.

    The radius is at most `max_shift`, and reaches it when all copies agree. It is what
    the counts alone prove: the true answer may hold for longer. It holds for the
    compiled program that voted, whose logits may differ from another's in last bits.

    Args:
        logits_fn: one clip to one row of logits; a copy without finite logits has no
            vote.
        wave: the clip; what leaves at one end enters at the other.
        max_shift: the greatest shift voted on, in samples; a multiple of step.
        step: samples between shifts. With 1, every shift is certified; otherwise only
            multiples of it are, since between them no vote is shared.

    Raises:
        ValueError: impossible shifts, or logits that are finite on no copy.
    """
    if step < 1 or max_shift < 0 or max_shift % step:
        raise ValueError(
            f"max_shift={max_shift}, step={step}: give a step of 1 or more and a "
            "greatest shift that is a multiple of it."
        )
    wave = jnp.asarray(float_example(wave, "wave"))
    if wave.ndim != 1:
        raise ValueError(f"wave has shape {list(wave.shape)}: give one clip, [time].")
    num_classes(logits_fn, wave)
    arrays, static = split(logits_fn)
    shifts = np.arange(-max_shift, max_shift + 1, step, dtype=np.int32)
    counts = np.asarray(_count(default_tile(), static, arrays, wave, shifts))
    if not counts.any():
        raise ValueError(
            "the classifier gave no finite logits on any shift of this clip: check how "
            "it was trained or loaded."
        )
    top = int(counts.argmax())
    # A rival before the top class wins ties, one after it loses them.
    leads = counts[top] - counts - (np.arange(len(counts)) < top)
    steps = int(np.delete(leads, top).min(initial=counts[top])) // 2
    return ShiftCertificate(top, steps * step, int(counts[top]), len(shifts))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _count(
    tile: int, static: Any, arrays: Any, wave: Wave, shifts: Int[Array, "shifts"]
) -> Int[Array, "classes"]:
    logits = jax.lax.map(
        lambda shift: apply(static, arrays, jnp.roll(wave, shift)),
        shifts,
        batch_size=tile,
    )
    num_classes = logits.shape[1]
    voted = jnp.isfinite(logits.max(axis=1))
    # Class number num_classes has no column in the one-hot rows.
    vote = jnp.where(voted, logits.argmax(axis=1), num_classes)
    return jax.nn.one_hot(vote, num_classes, dtype=jnp.int32).sum(axis=0)
