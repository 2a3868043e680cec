"""Names of runs in tables and legends."""

from collections.abc import Mapping
from typing import Any

from advjax.smoothing import BOUNDS


def title_of(settings: Mapping[str, Any]) -> str:
    """A run's name among runs that differ in the budget of their attack."""
    budget = settings["budget"]
    return f"{label_of(settings)}, {budget}" if budget else label_of(settings)


def label_of(settings: Mapping[str, Any]) -> str:
    """A run's name: its attack or noise, the stage, and the network's training."""
    if "attack" in settings:
        goal = " targeted" if settings["target"] else ""
        goal += f" ({settings['finish']})" if settings.get("finish") else ""
        at = settings["perturbation_enters_at"]
        return f"{settings['attack']['name']}{goal} at {at}, {settings['defence']}"
    law, value = settings["noise"]["law"], settings["noise"]["sigma"]
    sigma = f"σ={value:g}" if law == "gaussian" else f"{law} σ={value:g}"
    # A network trained on another noise than the certificate's says on which.
    defence = settings["defence"].replace(f"(sigma={value!r})", "")
    defence = defence.replace(f"(noise={law!r}, sigma={value!r})", "")
    bound = BOUNDS.get(settings["bound"])
    stopped = f" {bound.name}" if bound is not None and bound.stops_early else ""
    place = f"{settings['corpus']} {settings['noise_enters_at']}"
    return f"{place} {sigma} {defence}{stopped}"
