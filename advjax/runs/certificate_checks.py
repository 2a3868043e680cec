"""Rows of certificates beside the settings of their run: what follows must be there."""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from advjax.runs import fields
from advjax.smoothing.bounds import clopper_pearson_lower
from advjax.smoothing.noise import gaussian_radius, uniform_radius
from advjax.smoothing.sequential import sequential_lower

_ROUNDING = 1e-9
"""Relative: between versions of SciPy the last bits differ."""


def check_certificates(
    rows: Any, path: pathlib.Path, settings: Mapping[str, Any]
) -> None:
    """Refuse rows of a file that contradict the settings of their run.

    Settings that do not tell the noise, its norm and the bound are those of no
    certificates that are known here.

    Args:
        rows: a `Rows`.
        path: the file, for messages.
        settings: those in the run's `run.json`.

    Raises:
        ValueError: there is such a row; its line is named.
    """
    noise = settings.get("noise")
    known = isinstance(noise, Mapping) and {"law", "sigma", "norm"} <= set(noise)
    if not known or "bound" not in settings or not rows.n.any():
        return
    refuse = functools.partial(fields.refuse, path)
    abstains = rows.predict == -1
    refuse(
        abstains != (rows.p_lower < 0.5),
        lambda i: (
            f"p_lower is {rows.p_lower[i]:.6g}, and the prediction {rows.predict[i]}: "
            "below one half it is -1, and else a class"
        ),
    )
    _check_bound(rows, refuse, settings)
    _check_radius(rows, refuse, settings, noise)


def _check_bound(rows: Any, refuse: Callable, settings: Mapping[str, Any]) -> None:
    """Refuse bounds that the votes do not give."""
    most, alpha = settings.get("num_estimation"), settings.get("alpha")
    if not (_is_number(most) and _is_number(alpha) and 0 < alpha < 1):
        return
    fixed = settings["bound"] == "clopper_pearson"
    refuse(
        rows.n != most if fixed else rows.n > most,
        lambda i: f"n is {rows.n[i]} in a run of {most} votes a point",
    )
    if fixed:
        low = high = np.asarray(clopper_pearson_lower(rows.votes, int(most), alpha))
    elif settings["bound"] == "sequential":
        # The largest of all looks, of which the last is one, and no look has seen more
        # agreement than all agreeing votes at first.
        low = np.asarray(sequential_lower(rows.votes, rows.n, alpha))
        high = np.asarray(sequential_lower(rows.votes, rows.votes, alpha))
    else:
        return
    refuse(
        (rows.p_lower < low * (1 - _ROUNDING) - _ROUNDING)
        | (rows.p_lower > high * (1 + _ROUNDING) + _ROUNDING),
        lambda i: (
            f"p_lower is {rows.p_lower[i]:.9g}, where {rows.votes[i]} of {rows.n[i]} "
            f"votes give {low[i]:.6g}"
        ),
    )


def _check_radius(
    rows: Any, refuse: Callable, settings: Mapping[str, Any], noise: Mapping[str, Any]
) -> None:
    """Refuse radii that the bounds do not give."""
    radius_of = _radius_of(noise)
    if radius_of is not None:
        wanted = np.array([radius_of(float(p)) for p in rows.p_lower])
        refuse(
            ~np.isclose(rows.radius, wanted, rtol=_ROUNDING, atol=1e-12),
            lambda i: (
                f"the radius is {rows.radius[i]:.9g}, where "
                f"p_lower={rows.p_lower[i]:.6g} gives {wanted[i]:.6g} with "
                f"sigma={noise['sigma']}"
            ),
        )
    if _is_number(cap := settings.get("cap")):
        refuse(
            rows.radius > cap * (1 + _ROUNDING),
            lambda i: f"the radius {rows.radius[i]:g} is above the run's cap {cap:g}",
        )
    positive = (rows.radius > 0) & ~np.isnan(rows.radius_wave)
    if positive.any():
        # One bound carries all radii back to the waveform.
        ratio = np.where(
            positive, rows.radius_wave / np.where(positive, rows.radius, 1), 1
        )
        usual = float(np.median(ratio[positive]))
        refuse(
            positive & ~np.isclose(ratio, usual, rtol=_ROUNDING),
            lambda i: (
                f"radius_wave is {rows.radius_wave[i]:.9g}, where the other rows say "
                f"{usual:.6g} times the radius"
            ),
        )


def _radius_of(noise: Mapping[str, Any]) -> Callable[[float], float] | None:
    """A law's radius where its name and sigma decide it."""
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
