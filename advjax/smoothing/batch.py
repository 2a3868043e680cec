"""Certificates of many labelled examples in one call.

found = certify_batch(logits_fn, x, y, jax.random.key(0), noise=gaussian(0.25))
found.accuracy([0.0, 0.1, 0.25])
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from advjax.arguments import check_key, check_labels, float_example, num_classes
from advjax.metrics.certified import accuracy_curve, certified_accuracy
from advjax.runtime.progress import Progress
from advjax.smoothing.bounds import ClopperPearson, VotePlan
from advjax.smoothing.bounds.reach import reach
from advjax.smoothing.certify import Certificate, certify_each
from advjax.smoothing.counting.placement import whole_process
from advjax.smoothing.counting.tally import Example
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyArray, AnyCallable, Key


@dataclasses.dataclass(frozen=True, repr=False)
class Certificates:
    """Certificates of labelled examples, in the order of the examples.

    Attributes:
        certificates: one for each example.
        label: the class of each example.
        max_radius: the largest radius that the votes could have certified.
        alpha: failure probability of each certificate.
    """

    certificates: Sequence[Certificate]
    label: Int[np.ndarray, "examples"]
    max_radius: float
    alpha: float

    @property
    def prediction(self) -> Int[np.ndarray, "examples"]:
        """The predicted class of each example; ABSTAIN where there is none."""
        return np.array([c.prediction for c in self.certificates], np.int64)

    @property
    def radius(self) -> Float[np.ndarray, "examples"]:
        """The certified radius of each example; 0.0 where it abstains."""
        return np.array([c.radius for c in self.certificates], np.float64)

    @property
    def correct(self) -> Bool[np.ndarray, "examples"]:
        """True for each example whose prediction is its label."""
        return self.prediction == self.label

    def accuracy(
        self, radii: Sequence[float] | Float[np.ndarray, "radii"]
    ) -> Float[np.ndarray, "radii"]:
        """Certified accuracy: the share that is correct with at least these radii."""
        return certified_accuracy(self.correct, self.radius, np.asarray(radii, float))

    def curve(
        self,
    ) -> tuple[Float[np.ndarray, "corners"], Float[np.ndarray, "corners"]]:
        """The corners of the accuracy curve: radii from 0 up, accuracy at each one."""
        return accuracy_curve(self.correct, self.radius, self.max_radius)

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.certificates)

    def __getitem__(self, number: int) -> Certificate:
        """The certificate of one example."""
        return self.certificates[number]

    def __repr__(self) -> str:
        """A summary in one line."""
        return (
            f"Certificates({len(self)} examples: {np.mean(self.correct):.3f} correct, "
            f"{np.mean(self.prediction < 0):.3f} abstained, radii up to "
            f"{self.radius.max():.4g} of {self.max_radius:.4g})"
        )


def certify_batch(
    logits_fn: AnyCallable,
    x: AnyArray,
    y: Any,
    key: Key | Any,
    *,
    noise: AnyNoise,
    num_selection: int = 100,
    num_estimation: int = 10_000,
    alpha: float = 1e-3,
    progress: bool = False,
) -> Certificates:
    """Certify labelled examples, as `certify` does one of them.

    The certificate of example number i is that of `jax.random.fold_in(key, i)`. All
    devices of this process share the votes, see `certify`. `certify_each` takes other
    bounds and placements, and examples without labels.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        x: examples, [examples, ...], floating and finite, in the units of the noise.
        y: the class of each example, [examples].
        key: root of all noise.
        noise: the noise distribution.
        num_selection: votes that choose the class of each example (n0).
        num_estimation: fresh votes that bound its probability (n).
        alpha: probability that a certificate is wrong, for each of them.
        progress: show the examples certified so far, on standard error.

    Raises:
        ValueError: what `certify` refuses, no examples, or labels that are no classes.
        MemoryError: a tile does not fit the device.
    """
    x = float_example(x)
    if not x.ndim or not len(x):
        raise ValueError(f"x has shape {list(x.shape)}: give at least one example.")
    check_key(key)
    label = np.asarray(
        check_labels(y, num_classes(logits_fn, x[0]), shape=(len(x),)), np.int64
    )
    plan = VotePlan(num_selection, num_estimation, alpha, ClopperPearson())
    max_radius = reach(noise, plan).max_radius
    examples = (Example(x[i], jax.random.fold_in(key, i)) for i in range(len(x)))
    line = Progress("certify", total=len(x)) if progress else None
    certificates = []
    with line or contextlib.nullcontext():
        for _, certificate in certify_each(
            logits_fn, examples, noise=noise, plan=plan, placement=whole_process()
        ):
            certificates.append(certificate)
            if line is not None:
                line.advance()
    return Certificates(certificates, label, max_radius, alpha)
