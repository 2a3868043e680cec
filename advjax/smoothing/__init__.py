"""Randomized smoothing: certified predictions for any function of one example."""

from collections.abc import Callable

from advjax.smoothing.bounds import (
    clopper_pearson_lower,
    max_radius,
    num_for_radius,
    votes_needed,
)
from advjax.smoothing.certificates import (
    ABSTAIN,
    NO_VOTES,
    Certificate,
    Example,
    Prediction,
    Tally,
    certificate,
    certify,
    certify_each,
    predict,
)
from advjax.smoothing.coloured import (
    coloured,
    ellipsoid_norm,
    gains_of,
    mean_spectrum,
    spectral_gains,
    tone_radius_db,
)
from advjax.smoothing.early_stopping import SEQUENTIAL_TILE, certify_sequentially
from advjax.smoothing.f_divergence import kl_radius, renyi_radius
from advjax.smoothing.gain import gain
from advjax.smoothing.masked import masked
from advjax.smoothing.noise import Noise, gaussian, uniform
from advjax.smoothing.pcm16 import pcm16
from advjax.smoothing.planning import BOUNDS, Plan, PlannedRadius, plan
from advjax.smoothing.sequential import FUTILITY_ALPHA, sequential_lower
from advjax.smoothing.shift import ShiftCertificate, certify_shift
from advjax.smoothing.votes import (
    DEFAULT_CHUNK,
    count_votes,
    default_tile,
    fitting_tile,
)

NOISES: dict[str, Callable[..., Noise]] = {
    "gaussian": gaussian,
    "uniform": uniform,
    "coloured": coloured,
    "gain": gain,
    "pcm16": pcm16,
    "masked": masked,
}

__all__ = [
    "ABSTAIN",
    "BOUNDS",
    "DEFAULT_CHUNK",
    "FUTILITY_ALPHA",
    "NOISES",
    "NO_VOTES",
    "SEQUENTIAL_TILE",
    "Certificate",
    "Example",
    "Noise",
    "Plan",
    "PlannedRadius",
    "Prediction",
    "ShiftCertificate",
    "Tally",
    "certificate",
    "certify",
    "certify_each",
    "certify_sequentially",
    "certify_shift",
    "clopper_pearson_lower",
    "coloured",
    "count_votes",
    "default_tile",
    "ellipsoid_norm",
    "fitting_tile",
    "gain",
    "gains_of",
    "gaussian",
    "kl_radius",
    "masked",
    "max_radius",
    "mean_spectrum",
    "num_for_radius",
    "pcm16",
    "plan",
    "predict",
    "renyi_radius",
    "sequential_lower",
    "spectral_gains",
    "tone_radius_db",
    "uniform",
    "votes_needed",
]
