"""Randomized smoothing: certified predictions for any function of one example.

    certify(logits_fn, x, key, noise=gaussian(0.25))        one example
    certify_batch(logits_fn, x, y, key, noise=...)          labelled examples
    predict(logits_fn, x, key, noise=...)                   a class without a radius

`certify_each` is for programs: it takes other bounds and placements, and continues
from the votes of an earlier start.
"""

from advjax.smoothing.batch import Certificates, certify_batch
from advjax.smoothing.bounds import (
    BOUNDS,
    Bound,
    ClopperPearson,
    Sequential,
    VotePlan,
)
from advjax.smoothing.bounds.clopper_pearson import (
    max_radius,
    num_for_radius,
)
from advjax.smoothing.bounds.reach import RadiusNeeds, Reach, reach
from advjax.smoothing.certify import ABSTAIN, Certificate, certify, certify_each
from advjax.smoothing.counting.memory import fitting_tile
from advjax.smoothing.counting.placement import Placement, default_tile
from advjax.smoothing.counting.tally import Example, Tally
from advjax.smoothing.counting.votes import count_votes
from advjax.smoothing.counting.workers import Workers
from advjax.smoothing.noises import (
    NOISES,
    Noise,
    coloured,
    gain,
    gaussian,
    masked,
    pcm16,
    uniform,
)
from advjax.smoothing.noises.coloured import (
    ellipsoid_norm,
    gains_of,
    mean_spectrum,
    tone_radius_db,
)
from advjax.smoothing.predict import Prediction, predict
from advjax.smoothing.shift import ShiftCertificate, certify_shift

__all__ = [
    "ABSTAIN",
    "BOUNDS",
    "NOISES",
    "Bound",
    "Certificate",
    "Certificates",
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
    "Workers",
    "certify",
    "certify_batch",
    "certify_each",
    "certify_shift",
    "coloured",
    "count_votes",
    "default_tile",
    "ellipsoid_norm",
    "fitting_tile",
    "gain",
    "gains_of",
    "gaussian",
    "masked",
    "max_radius",
    "mean_spectrum",
    "num_for_radius",
    "pcm16",
    "predict",
    "reach",
    "tone_radius_db",
    "uniform",
]


def __dir__() -> list[str]:
    return sorted(__all__)
