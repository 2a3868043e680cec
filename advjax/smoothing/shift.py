"""Smoothing over all time shifts up to a largest one, with exact certificates.

The smoothed classifier predicts the class of most votes among the copies of a clip
rotated by -max_shift, ..., -step, 0, step, ..., max_shift samples. Rotations add, so a
clip shifted by s steps has all but s of these copies in common with the clip itself.
The prediction holds while its lead over every other class exceeds the 2 s votes that
may change, or equals 2 s and the tie falls to it, as ties fall to the first class.

Source: derived here. Levine and Feizi 2020, arXiv:2002.10733, likewise count the votes
that a patch of an image can reach, without randomness.
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
    """Certified prediction for one clip, valid with certainty.

    Attributes:
        prediction: a class; this smoothed classifier never abstains.
        radius: largest shift in samples up to which the clip, rotated by any multiple
            of the step, has the same prediction.
        votes: copies that are given the predicted class.
        num_votes: all copies.
    """

    prediction: int
    radius: int
    votes: int
    num_votes: int


def certify_shift(
    logits_fn: AnyCallable, wave: AnyArray, *, max_shift: int, step: int = 1
) -> ShiftCertificate:
    """Certify the prediction over all shifts of a clip, and the shifts that keep it.

    The radius is at most `max_shift`, and reaches it when all copies agree. It follows
    from the counts alone; the true radius may be larger. It holds for the compiled
    program that voted, whose logits may differ from another's in the last bits.

    Args:
        logits_fn: one clip to one row of logits; a copy without finite logits has no
            vote.
        wave: the clip; samples that leave at one end enter at the other.
        max_shift: the largest shift that is voted on, in samples; a multiple of step.
        step: samples between shifts. Only multiples of it are certified, since shifts
            between them share no copy.

    Raises:
        ValueError: impossible shifts, or logits that are finite on no copy.
    """
    if step < 1 or max_shift < 0 or max_shift % step:
        raise ValueError(
            f"max_shift={max_shift}, step={step}: give a step of 1 or more, and a "
            "multiple of it as max_shift."
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
            "the classifier gave no finite logits on any shift of this clip: check its "
            "weights."
        )
    top = int(counts.argmax())
    # A rival of a lower number wins ties, one of a higher number loses them.
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
