"""Carlini and Wagner's attacks: l2, l0 and linf behind one constructor."""

from advjax.attacks.base import Attack
from advjax.attacks.carlini_wagner.descent import Options, variables
from advjax.attacks.carlini_wagner.l0 import l0
from advjax.attacks.carlini_wagner.l2 import l2
from advjax.attacks.carlini_wagner.linf import linf
from advjax.attacks.options import check_options
from advjax.reprs import keep_call
from advjax.types import Bounds


@keep_call
def carlini_wagner(
    *,
    norm: str = "l2",
    num_searches: int = 9,
    num_steps: int = 1000,
    learning_rate: float | None = None,
    initial_c: float = 1e-3,
    mean_square: bool = False,
    confidence: float = 0.0,
    probability: float | None = None,
    abort_early: bool = True,
    change_of_variables: str = "auto",
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Minimise the perturbation's size plus c times a hinge, by Adam.

    The hinge is max(margin of the label, -confidence) on the logits; for a target,
    max(minus its margin, -confidence). An iterate is judged by the logits of its own
    gradient pass, and the smallest success is kept. An example that is adversarial
    already is returned unchanged after one pass.

    Args:
        norm: the size to minimise. "l2": the sum of squares. "l0": the number of
            entries that change, see `carlini_wagner.l0`. "linf": the largest change,
            see `carlini_wagner.linf`.
        num_searches: values of c for "l2". With the other norms the length of a run
            varies, and num_searches * num_steps bounds the steps of all runs.
        num_steps: steps of Adam at one value of c, at most.
        learning_rate: Adam's; under tanh relative to half the width of the bounds,
            otherwise in the units of the example. None scales it to each example: a
            step that moves every entry is a fifth of the distance to the boundary that
            the first gradient predicts, and no entry moves by more than the authors'
            1e-2. At the waveform that is about 1e-4.
        initial_c: the first c.
        mean_square: minimise the mean of the squares instead of their sum, as
            Subramanian et al. (arXiv:1907.02477) do: c is multiplied by the number of
            entries. Only for "l2".
        confidence: the margin in logits that a success must have (kappa).
        probability: an alternative criterion of success: the probability of the label
            is below this, or that of the target at least this. The hinge keeps its
            confidence. Subramanian et al. use a confidence of 500, so that the hinge is
            never flat, and 1/41 or 0.975.
        abort_early: end a run once its loss stalls and, for "l0" and "linf", at its
            first success.
        change_of_variables: "tanh", whose image is the inside of finite bounds; "none",
            the entries themselves, clipped after each step; "auto", tanh where both
            bounds are finite.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Returns:
        An attack that searches for the smallest perturbation. `queries` counts a
        gradient with its forward pass as one.

    Raises:
        ValueError: invalid options.

    Source: Carlini and Wagner 2017, arXiv:1608.04644, section V.B with f_6 and VI;
        defaults
    of the authors' l2 code, but 1,000 steps instead of 10,000.
    Differs: the learning rate is scaled; the authors' is 1e-2 throughout. Distances are
    measured from `x` itself, not from its image under tanh. A run of "l2" continues
    from the last one's end with Adam's moments, instead of from `x`; on a ResCNN of
    speakers that found perturbations of the same size in a fifth fewer steps.
    """
    check_options(
        norm=norm,
        norms=("l2", "l0", "linf"),
        bounds=bounds,
        num_searches=num_searches,
        num_steps=num_steps,
    )
    for name, value in (("learning_rate", learning_rate), ("initial_c", initial_c)):
        if value is not None and not value > 0:
            raise ValueError(f"{name}={value}: give a positive number")
    if not confidence >= 0:
        raise ValueError(f"confidence={confidence}: give a margin of at least 0")
    if probability is not None and not 0 < probability < 1:
        raise ValueError(f"probability={probability}: give one between 0 and 1")
    if mean_square and norm != "l2":
        raise ValueError(f"mean_square=True is of squares: give norm='l2', not {norm}")
    options = Options(
        num_searches=num_searches,
        num_steps=num_steps,
        learning_rate=learning_rate,
        initial_c=initial_c,
        mean_square=mean_square,
        confidence=confidence,
        probability=probability,
        abort_early=abort_early,
        targeted=targeted,
        bounds=bounds,
        variables=variables(bounds, change_of_variables),
    )
    init, step = {"l2": l2, "l0": l0, "linf": linf}[norm](options)
    return Attack(
        init,
        step,
        num_searches * num_steps,
        norm,
        bounds,
        targeted,
        fixed_budget=False,
        any_length=True,
    )
