"""The imperceptible attack: perturbations of waveforms below the masking threshold."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.base import Attack, Common, begin, choose
from advjax.attacks.objectives import cross_entropy, is_adversarial, margin
from advjax.attacks.options import check_options
from advjax.optimisers import with_dtype_promotion
from advjax.reprs import keep_call
from advjax.signal.masking import (
    FULL_SCALE,
    MaskingThreshold,
    masking_threshold,
    perturbation_power,
)
from advjax.types import Bounds, Features, Label, Logits


class ImperceptibleState(NamedTuple):
    """See `State`.

    Attributes:
        threshold: the masking threshold of `x`.
        delta: Adam's variable; the perturbation is `delta`, clipped and rescaled.
        moments: Adam's, of the current stage.
        step: gradient passes of both stages.
        rescale: the linf ball's radius over the initial one.
        alpha: the weight of the audible excess.
        best: the audible excess of `x_adv`; infinite before the first success.
    """

    common: Common
    threshold: MaskingThreshold
    delta: Features
    moments: optax.OptState
    step: Int[Array, ""]
    rescale: Float[Array, ""]
    alpha: Float[Array, ""]
    best: Float[Array, ""]


@keep_call
def imperceptible(
    *,
    sample_rate_hz: int,
    num_steps: tuple[int, int] = (1000, 4000),
    learning_rates: tuple[float, float] = (100 / FULL_SCALE, 1 / FULL_SCALE),
    initial_eps: float = 2000 / FULL_SCALE,
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Find the least audible perturbation of a waveform, in two stages.

    The first stage takes Adam steps along the gradient's sign inside an linf ball,
    which shrinks at every success. The second stage starts from the last success and
    minimises the cross-entropy plus alpha times the audible excess: the mean over
    frames and bins of the perturbation's power above the clip's masking threshold.
    Alpha grows while the perturbation succeeds and falls while it fails. The result has
    the least excess of all successes of the second stage and the last success of the
    first. An example that is adversarial already is returned unchanged after one pass.
    A success without any excess ends the attack.

    Args:
        sample_rate_hz: of the waveform, for the masking threshold.
        num_steps: gradients of the first and of the second stage.
        learning_rates: Adam's in each stage, relative to full scale; the second falls
            to a tenth in the last quarter of its stage.
        initial_eps: initial radius of the linf ball, which also bounds the second
            stage.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of a sample.

    Returns:
        An attack on waveforms, [time], which ignores the budget. Reported distances are
        linf, which the first stage minimises.

    Raises:
        ValueError: invalid options or, when run, an example that is not a waveform.

    Source: Qin et al. 2019, arXiv:1903.10346; stages, schedules and constants of the
    authors' code in cleverhans 3.1 (`generate_imperceptible_adv.py`), those at 16-bit
    scale divided by 32768. The threshold and the excess: `signal.masking`.
    Differs: classes instead of transcripts. Without a target, the loss is the
        cross-entropy
    of the best other class against the label alone, which vanishes on success as that
    of a target does. Every step of the second stage is checked for success, not every
    tenth. The gradient is taken where the perturbation is judged, before the ball
    shrinks.
    """
    check_options(
        norm="linf",
        norms=("linf",),
        bounds=bounds,
        first_num_steps=num_steps[0],
        second_num_steps=num_steps[1],
    )
    for name, value in (
        ("learning_rates", min(learning_rates)),
        ("initial_eps", initial_eps),
        ("sample_rate_hz", sample_rate_hz),
    ):
        if not value > 0:
            raise ValueError(f"{name}={value}: give a positive number")
    first_length, second_length = num_steps

    def init(logits_fn, x, y, key, budget):
        del logits_fn, key
        if x.ndim != 1:
            raise ValueError(
                f"the imperceptible attack perturbs waveforms, [time], but the example "
                f"has the shape {x.shape}: attack the stage of the waveform"
            )
        return ImperceptibleState(
            common=begin(x, y, budget),
            threshold=masking_threshold(x, sample_rate_hz=sample_rate_hz),
            delta=jnp.zeros_like(x),
            moments=_ADAM.init(x),
            step=jnp.int32(0),
            rescale=jnp.float32(1),
            alpha=jnp.float32(_ALPHA),
            best=jnp.float32(jnp.inf),
        )

    def step(logits_fn, state):
        common = state.common
        x, y = common.x, common.y
        in_first = state.step < first_length
        # Steps taken in this stage; the pass judges their result.
        taken = state.step - jnp.where(in_first, 0, first_length)

        def point_of(delta):
            applied = jnp.clip(delta, -initial_eps, initial_eps) * state.rescale
            return jnp.clip(x + applied, *bounds)

        def loss_of(delta):
            point = point_of(delta)
            logits = logits_fn(point)
            return _loss(logits, y, targeted=targeted), (point, logits)

        def excess_of(delta):
            return _excess(point_of(delta) - x, state.threshold)

        slope, (point, logits) = jax.grad(loss_of, has_aux=True)(state.delta)
        excess, slope_excess = jax.value_and_grad(excess_of)(state.delta)
        hit = is_adversarial(logits, y, targeted=targeted)
        clean_hit = hit & (state.step == 0)

        shrinks = in_first & hit & _every(10, taken)
        size = jnp.max(jnp.abs(state.delta)) / initial_eps
        rescale = jnp.where(
            shrinks, 0.8 * jnp.minimum(state.rescale, size), state.rescale
        )
        better = clean_hit | shrinks | (~in_first & hit & (excess < state.best))
        x_adv = jnp.where(better, point, common.x_adv)
        best = jnp.where(better, excess, state.best)
        grows = ~in_first & hit & _every(20, taken)
        falls = ~in_first & ~hit & _every(50, taken)
        lower = jnp.maximum(0.8 * state.alpha, _LEAST_ALPHA)
        alpha = jnp.where(falls, lower, jnp.where(grows, 1.2, 1.0) * state.alpha)

        late = 4 * taken >= 3 * second_length
        rates = learning_rates[0], learning_rates[1] * jnp.where(late, 0.1, 1.0)
        moved = _descend(state.delta, state.moments, jnp.sign(slope), rates[0])
        pulled = _descend(state.delta, state.moments, slope, rates[1])
        # Beside a silent clip, squares of this gradient overflow in Adam's moments.
        quieter = jnp.clip(state.alpha * slope_excess, -_LARGEST, _LARGEST)
        pulled = _descend(*pulled, quieter, rates[1])
        delta, moments = choose(in_first, moved, pulled)

        ends_first = state.step == first_length - 1
        ended = jnp.where(jnp.isfinite(best), x_adv, point) - x
        return state._replace(
            common=common._replace(
                x_adv=x_adv,
                done=clean_hit | (~in_first & (best <= 0)),
                queries=common.queries + 1,
            ),
            delta=jnp.where(ends_first, ended, delta),
            moments=choose(ends_first, _ADAM.init(x), moments),
            step=state.step + 1,
            rescale=jnp.where(ends_first, 1.0, rescale),
            alpha=alpha,
            best=best,
        )

    return Attack(
        init,
        step,
        first_length + second_length,
        "linf",
        bounds,
        targeted,
        fixed_budget=False,
    )


_ADAM = with_dtype_promotion(optax.scale_by_adam())
_ALPHA, _LEAST_ALPHA = 0.05, 0.0005
_LARGEST = 1e15


def _every(period: int, taken: Int[Array, ""]) -> Bool[Array, ""]:
    """True after the first step and after every `period` steps from there."""
    return taken % period == 1


def _loss(logits: Logits, y: Label, *, targeted: bool) -> Float[Array, ""]:
    return cross_entropy(logits, y) if targeted else jax.nn.softplus(margin(logits, y))


def _excess(delta: Features, threshold: MaskingThreshold) -> Float[Array, ""]:
    """The audible excess, equation 6 of the paper; see `metrics.audibility`."""
    power = perturbation_power(delta, threshold.peak)
    return jnp.mean(jax.nn.relu(power - threshold.power))


def _descend(delta, moments, gradient, rate):
    """The variables after one step of Adam, and its moments."""
    update, moments = _ADAM.update(gradient, moments)
    return delta - rate * update, moments
