"""Adversarial robustness of audio classifiers, in JAX.

Five functions do the work:

    advjax.smoothing.certify     certify the prediction of one example
    advjax.smoothing.predict     predict by randomized smoothing, without a radius
    advjax.attacks.run           attack one example, inside jit and vmap
    advjax.attacks.run_batch     attack many examples, from Python
    advjax.checkpoint.load       load a classifier that a program trained

The first four take any function from one example to its logits; for instance,
`help(advjax.smoothing.certify)` says how. Sub-packages are imported on first use.
"""

import importlib
import importlib.util
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "attacks",
    "checkpoint",
    "classifier",
    "defences",
    "evaluation",
    "metrics",
    "models",
    "records",
    "reports",
    "representations",
    "smoothing",
    "surf_svm",
    "training",
    "transforms",
]


def __getattr__(name: str) -> Any:
    module = f"{__name__}.{name}"
    public = name.isidentifier() and not name.startswith("_")
    if not public or importlib.util.find_spec(module) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(module)


def __dir__() -> list[str]:
    return ["__version__", *__all__]
