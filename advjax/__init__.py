"""advjax: adversarial robustness of audio classifiers, in JAX.

    import advjax

    advjax.smoothing.certify(...)

Sub-packages are imported when they are first named.
"""

import importlib
import pkgutil
from typing import Any

__version__ = "0.1.0"


def _names() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in _names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([name for name in globals() if name.startswith("__")] + _names())
