"""Checks of rows for contradictions, also to the settings of their run."""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from advjax.metrics.robustness import largest_size
from advjax.runs.columns import Rows, refuse, refuse_repeated_ids

_ROUNDING = 1e-9
"""Relative tolerance: SciPy's last bits differ between versions."""


def check_certificates(
    rows: Rows, path: pathlib.Path, settings: Mapping[str, Any] | None
) -> None:
    """Refuse certificates that contradict themselves or the settings of their run.

    Args:
        rows: of one file.
        path: the file, for messages.
        settings: from the run's `run.json`; None without one.

    Raises:
        Damaged: a row contradicts; the message has its line.
    """
    refuse(
        path,
        rows.correct != (rows.predict == rows.label),
        lambda i: (
            f"correct is {int(rows.correct[i])} where the label is {rows.label[i]} and "
            f"the prediction {rows.predict[i]}"
        ),
    )
    refuse(
        path,
        (rows.predict == -1) & (rows.radius > 0),
        lambda i: f"the radius of an abstention is {rows.radius[i]:g}, not 0",
    )
    refuse(
        path,
        rows.votes > rows.n,
        lambda i: f"{rows.votes[i]} votes of {rows.n[i]}",
    )
    if not rows.n.any():  # rows of another program have no ids
        return
    refuse_repeated_ids(rows, path)
    # Without noise, norm and bound the settings are of no certificates known here.
    noise = (settings or {}).get("noise")
    known = isinstance(noise, Mapping) and {"law", "sigma", "norm"} <= set(noise)
    if settings is None or not known or "bound" not in settings:
        return
    abstains = rows.predict == -1
    refuse(
        path,
        abstains != (rows.p_lower < 0.5),
        lambda i: (
            f"p_lower is {rows.p_lower[i]:.6g}, and the prediction {rows.predict[i]}: "
            "below one half it is -1, and else a class"
        ),
    )
    _check_bound(rows, path, settings)
    _check_radius(rows, path, settings)


def check_attacks(
    rows: Rows, path: pathlib.Path, settings: Mapping[str, Any] | None
) -> None:
    """Refuse attacks that contradict themselves or the settings of their run.

    Arguments and errors as for `check_certificates`.
    """
    untargeted = rows.target == -1
    refuse(
        path,
        rows.success
        & np.where(untargeted, rows.predict == rows.label, rows.predict != rows.target),
        lambda i: (
            f"success is 1 where the label is {rows.label[i]}, the target "
            f"{rows.target[i]} and the prediction {rows.predict[i]}"
        ),
    )
    refuse(
        path,
        (rows.l0 == 0) != (rows.l2 == 0),
        lambda i: f"l0 is {rows.l0[i]} where l2 is {rows.l2[i]:g}",
    )
    refuse(
        path,
        (rows.linf > rows.l2 * (1 + _ROUNDING)) | (rows.success & np.isinf(rows.l2)),
        lambda i: f"linf is {rows.linf[i]:g} where l2 is {rows.l2[i]:g}",
    )
    refuse(
        path,
        (rows.gt_new > rows.new)
        | ((rows.predict == rows.clean) & (rows.gt_new != rows.new)),
        lambda i: (
            f"gt_new is {rows.gt_new[i]:g} and new {rows.new[i]:g}, where the class "
            f"was {rows.clean[i]} and is {rows.predict[i]}"
        ),
    )
    refuse_repeated_ids(rows, path)
    found = settings or {}
    finished = found.get("finish") == "pcm16"
    refuse(
        path,
        (rows.success_pcm16 == 1) & ~rows.success
        | finished & rows.success & (rows.success_pcm16 == 0),
        lambda i: (
            f"success_pcm16 is {rows.success_pcm16[i]} where success is "
            f"{int(rows.success[i])}"
        ),
    )
    if found.get("budget") is None or found.get("norm") not in ("linf", "l2"):
        return
    norm = found["norm"]
    size = rows.columns[norm]
    step = 2**-15 if finished else 0.0  # of 16-bit samples
    most = largest_size(rows.budget, norm, rows.l0, resolution=step)
    refuse(
        path,
        rows.success & (size > most),
        lambda i: (
            f"success is 1 where {norm} is {size[i]:g}, and the budget "
            f"{rows.budget[i]:g}"
        ),
    )


def check_smoothed_attacks(
    rows: Rows, path: pathlib.Path, settings: Mapping[str, Any] | None
) -> None:
    """Refuse attacks on a smoothed classifier that contradict themselves.

    Arguments and errors as for `check_certificates`.
    """
    refuse(
        path,
        rows.flipped != ((rows.predict != rows.label) & (rows.predict != -1)),
        lambda i: (
            f"flipped is {int(rows.flipped[i])} where the label is {rows.label[i]} and "
            f"the prediction {rows.predict[i]}"
        ),
    )
    refuse_repeated_ids(rows, path)


def check_shifts(
    rows: Rows, path: pathlib.Path, settings: Mapping[str, Any] | None
) -> None:
    """Refuse certificates against shifts that contradict themselves or their run.

    Arguments and errors as for `check_certificates`.
    """
    refuse(
        path,
        rows.correct != (rows.predict == rows.label),
        lambda i: (
            f"correct is {int(rows.correct[i])} where the label is {rows.label[i]} and "
            f"the prediction {rows.predict[i]}"
        ),
    )
    refuse(
        path,
        rows.votes > rows.n,
        lambda i: f"{rows.votes[i]} votes of {rows.n[i]}",
    )
    refuse_repeated_ids(rows, path)
    most, step = ((settings or {}).get(name) for name in ("max_shift", "shift_step"))
    if not (_is_number(most) and _is_number(step) and step > 0):
        return
    refuse(
        path,
        rows.n != 2 * (most // step) + 1,
        lambda i: f"n is {rows.n[i]}, not that of shifts by {step} up to {most}",
    )
    # The lead is at most the votes, and each step of a shift may cost two of it.
    refuse(
        path,
        (rows.radius > rows.votes // 2 * step) | (rows.radius % step != 0),
        lambda i: (
            f"the radius is {rows.radius[i]:g}, where {rows.votes[i]} votes at shifts "
            f"by {step} give at most {rows.votes[i] // 2 * step}"
        ),
    )
    refuse(
        path,
        (rows.votes == rows.n) & (rows.radius != most),
        lambda i: (
            f"the radius is {rows.radius[i]:g}, where all votes agree up to {most}"
        ),
    )


def _check_bound(rows: Rows, path: pathlib.Path, settings: Mapping[str, Any]) -> None:
    """Refuse bounds that do not follow from the votes."""
    # Imported here, because it needs JAX, and the start of a run does not.
    from advjax.smoothing.bounds import BOUNDS

    most, alpha = settings.get("num_estimation"), settings.get("alpha")
    if not (_is_number(most) and _is_number(alpha) and 0 < alpha < 1):
        return
    bound = BOUNDS.get(str(settings["bound"]))
    fixed = bound is not None and not bound.stops_early
    refuse(
        path,
        rows.n != most if fixed else rows.n > most,
        lambda i: f"n is {rows.n[i]} in a run of {most} votes a point",
    )
    if bound is None:
        return
    low, high = bound.extremes(
        rows.votes, rows.n, num_estimation=int(most), alpha=alpha
    )
    refuse(
        path,
        (rows.p_lower < low * (1 - _ROUNDING) - _ROUNDING)
        | (rows.p_lower > high * (1 + _ROUNDING) + _ROUNDING),
        lambda i: (
            f"p_lower is {rows.p_lower[i]:.9g}, where {rows.votes[i]} of {rows.n[i]} "
            f"votes give {low[i]:.6g}"
        ),
    )


def _check_radius(rows: Rows, path: pathlib.Path, settings: Mapping[str, Any]) -> None:
    """Refuse radii that do not follow from the bounds."""
    noise = settings["noise"]
    radius_of = _radius_of(noise)
    if radius_of is not None:
        wanted = np.array([radius_of(float(p)) for p in rows.p_lower])
        refuse(
            path,
            ~np.isclose(rows.radius, wanted, rtol=_ROUNDING, atol=1e-12),
            lambda i: (
                f"the radius is {rows.radius[i]:.9g}, where "
                f"p_lower={rows.p_lower[i]:.6g} gives {wanted[i]:.6g} with "
                f"sigma={noise['sigma']}"
            ),
        )
    if _is_number(cap := settings.get("cap")):
        refuse(
            path,
            rows.radius > cap * (1 + _ROUNDING),
            lambda i: f"the radius {rows.radius[i]:g} is above the run's cap {cap:g}",
        )
    positive = (rows.radius > 0) & ~np.isnan(rows.radius_wave)
    if positive.any():
        # One Lipschitz bound carries all radii to the waveform.
        ratio = np.where(
            positive, rows.radius_wave / np.where(positive, rows.radius, 1), 1
        )
        usual = float(np.median(ratio[positive]))
        refuse(
            path,
            positive & ~np.isclose(ratio, usual, rtol=_ROUNDING),
            lambda i: (
                f"radius_wave is {rows.radius_wave[i]:.9g}, where the other rows say "
                f"{usual:.6g} times the radius"
            ),
        )


def _radius_of(noise: Mapping[str, Any]) -> Callable[[float], float] | None:
    """Radius of a noise distribution that its name and sigma decide; None of others."""
    from advjax.smoothing.noises.gaussian import gaussian_radius
    from advjax.smoothing.noises.uniform import uniform_radius

    law, sigma = noise["law"], noise["sigma"]
    if not (_is_number(sigma) and sigma > 0):
        return None
    if law in ("gaussian", "gain"):
        return functools.partial(gaussian_radius, float(sigma))
    if law == "uniform":
        return functools.partial(uniform_radius, math.sqrt(3) * float(sigma))
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
