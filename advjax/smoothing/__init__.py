"""Randomized smoothing: certified predictions for any function of one example."""

from advjax.smoothing.bounds import (
    BOUNDS,
    Bound,
    ClopperPearson,
    Sequential,
    VotePlan,
)
from advjax.smoothing.bounds.clopper_pearson import (
    clopper_pearson_lower,
    max_radius,
    num_for_radius,
    votes_needed,
)
from advjax.smoothing.bounds.confidence_sequence import sequential_lower
from advjax.smoothing.bounds.reach import RadiusNeeds, Reach, reach
from advjax.smoothing.certify import (
    ABSTAIN,
    Certificate,
    Prediction,
    certificate,
    certify,
    certify_each,
    predict,
)
from advjax.smoothing.counting.memory import fitting_tile
from advjax.smoothing.counting.placement import (
    DEFAULT_CHUNK,
    DEFAULT_PLACEMENT,
    Placement,
    default_tile,
)
from advjax.smoothing.counting.tally import NO_VOTES, Example, Tally
from advjax.smoothing.counting.votes import count_votes
from advjax.smoothing.laws import (
    NOISES,
    Noise,
    coloured,
    gain,
    gaussian,
    masked,
    pcm16,
    uniform,
)
from advjax.smoothing.laws.coloured import (
    ellipsoid_norm,
    gains_of,
    mean_spectrum,
    spectral_gains,
    tone_radius_db,
)
from advjax.smoothing.laws.f_divergence import kl_radius, renyi_radius
from advjax.smoothing.shift import ShiftCertificate, certify_shift

__all__ = [
    "ABSTAIN",
    "BOUNDS",
    "DEFAULT_CHUNK",
    "DEFAULT_PLACEMENT",
    "NOISES",
    "NO_VOTES",
    "Bound",
    "Certificate",
    "ClopperPearson",
    "Example",
    "Noise",
    "Placement",
    "Prediction",
    "RadiusNeeds",
    "Reach",
    "Sequential",
    "ShiftCertificate",
    "Tally",
    "VotePlan",
    "certificate",
    "certify",
    "certify_each",
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
    "predict",
    "reach",
    "renyi_radius",
    "sequential_lower",
    "spectral_gains",
    "tone_radius_db",
    "uniform",
    "votes_needed",
]
