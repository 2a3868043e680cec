"""Checks of the options of attacks."""

from advjax.attacks.objectives import LOSSES
from advjax.types import Bounds


def check_options(
    *,
    norm: str,
    norms: tuple[str, ...],
    bounds: Bounds,
    loss: str = "cross_entropy",
    **counts: int,
) -> None:
    """Refuse invalid options.

    Raises:
        ValueError: an unknown norm or loss, empty bounds, or a count below 1.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r}: choose one of {', '.join(LOSSES)}")
    if norm not in norms:
        raise ValueError(f"norm={norm!r}: choose one of {', '.join(norms)}")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds={bounds}: give the least value, then the greatest")
    for name, value in counts.items():
        if not 1 <= value < 2**31:
            raise ValueError(f"{name}={value}: give at least 1, and less than 2^31")
