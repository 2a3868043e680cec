"""Recipes of training."""

import dataclasses
from typing import Any

import jax
import optax

from advjax.optimisers import with_dtype_promotion
from advjax.runtime.precision import check_known


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Length, learning rate and batches of a training.

    Attributes:
        num_steps: optimiser steps, at most.
        batch_size: examples in a step; the remainder of an epoch is dropped.
        learning_rate: Adam's, at its highest.
        schedule: "cosine" (one cosine over `num_steps`, with warm-up), "plateau"
            (constant, halved when validation accuracy stalls) or "staircase" (0.9 times
            the rate at once and after every `decay_every` steps: Iqbal et al. 2018,
            every two epochs).
        weight_decay: coefficient of the squared l2 norm of convolution kernels in the
            loss; 1e-4 is deep-speaker's.
        validate_every: steps from one validation (and checkpoint) to the next; None for
            an epoch.
        num_validation: most validation examples that are judged, spread evenly over
            the split; None for all.
        plateau_patience: validations without a gain before the rate is halved, down to
            1e-4.
        stop_patience: validations without a gain of 0.001 before training stops; 0
            never stops early.
        decay_every: steps, for the schedule "staircase".
        precision: of the network's products and maps, one of
            `runtime.precision.PRECISIONS`. Weights, loss, batch statistics and the
            optimiser are float32 in each.
        balanced: draw each example of a batch from a class drawn uniformly, instead of
            whole epochs.
        num_averaged: the result has the mean weights and batch statistics of so many
            validated steps, the best ones; 1 takes the best alone. Iqbal et al. 2018
            average the predictions of four epochs: the mean of weights takes one
            network's time (Izmailov et al. 2018, arXiv:1803.05407).
    """

    num_steps: int = 100_000
    batch_size: int = 96
    learning_rate: float = 1e-3
    schedule: str = "plateau"
    weight_decay: float = 1e-4
    validate_every: int | None = 60
    num_validation: int | None = None
    plateau_patience: int = 10
    stop_patience: int = 20
    decay_every: int = 0
    balanced: bool = False
    num_averaged: int = 1
    precision: str = "float32"

    def __post_init__(self):
        """Refuse recipes that cannot train."""
        if self.schedule not in ("cosine", "plateau", "staircase"):
            raise ValueError(
                f"schedule must be cosine, plateau or staircase, not {self.schedule!r}"
            )
        check_known(self.precision)
        counts = ["num_steps", "batch_size", "validate_every", "num_validation"]
        counts += ["num_averaged"]
        counts += ["decay_every"] * (self.schedule == "staircase")
        for name in counts:
            # None is a choice of its own, where it is the type's.
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    def settings(self) -> dict[str, Any]:
        """The fields by name, as they identify a training."""
        fields = dataclasses.asdict(self)
        # Trainings from before these fields keep their identity.
        later = {"precision": "float32", "num_validation": None, "num_averaged": 1}
        for name, usual in later.items():
            if fields[name] == usual:
                del fields[name]
        return fields

    def of_sizes(self, num_train: int, num_validation: int) -> "Recipe":
        """The recipe with an epoch, and the validation, of splits of these sizes."""
        every = self.validate_every or max(1, num_train // self.batch_size)
        most = self.num_validation or num_validation
        return dataclasses.replace(
            self,
            validate_every=every,
            num_validation=most if most < num_validation else None,
        )

    def optimizer(self) -> optax.GradientTransformation:
        """Adam on the loss with an l2 term on convolution kernels (not decoupled)."""
        l2 = optax.add_decayed_weights(2 * self.weight_decay, mask=_is_conv_kernel)
        return with_dtype_promotion(optax.chain(l2, optax.adam(self._rate())))

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0, before a plateau halves it."""
        rate = self._rate()
        return float(rate(step)) if callable(rate) else rate

    def _rate(self) -> float | optax.Schedule:
        rate = self.learning_rate
        if self.schedule == "cosine":
            return optax.warmup_cosine_decay_schedule(
                init_value=rate / 10,
                peak_value=rate,
                warmup_steps=max(1, self.num_steps // 20),
                decay_steps=self.num_steps,
                end_value=rate / 100,
            )
        if self.schedule == "staircase":
            return optax.exponential_decay(
                0.9 * rate, self.decay_every, 0.9, staircase=True
            )
        return rate


def _is_conv_kernel(params):
    return jax.tree.map(lambda leaf: leaf.ndim == 4, params)
