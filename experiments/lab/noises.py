"""Noise distributions of tasks, and the stages at which they have a meaning."""

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from scipy import special

from advjax import catalog, smoothing
from advjax.records import spread
from advjax.representations import Representation
from advjax.signal.samples import from_int16
from experiments.lab.data import Data

_OF_WAVEFORMS = ("coloured", "pcm16", "masked")


def noise_of(
    choice: str,
    *,
    sigma: float,
    stage: Representation,
    records: Data | None = None,
) -> smoothing.Noise:
    """The noise distribution of a choice from `NOISES` at a stage.

    Args:
        choice: with options; those that it leaves out follow from the others.
        sigma: standard deviation.
        stage: where noise enters.
        records: whose training clips a curve may follow. Without records it follows
            another curve, of the same norm and the same largest radius.

    Raises:
        ValueError: an unknown noise or option, or one without a meaning at the stage.
    """
    name, options = catalog.parse(choice)
    root = stage.chain()[0]
    of_corpus = (name, options.get("curve")) == ("coloured", "corpus")
    built = catalog.build(
        name,
        options | ({"curve": "a_weighting"} if of_corpus else {}),
        smoothing.NOISES,
        sigma=sigma,
        # As much power as Gaussian noise has.
        half_width=math.sqrt(3) * sigma,
        num_samples=root.num_samples,
        sample_rate_hz=root.sample_rate_hz,
    )
    _check_stage(name, stage)
    if not of_corpus or records is None:
        return built
    clips = records.dataset("train", root.name).x
    return smoothing.coloured(
        options.get("sigma", sigma),
        num_samples=root.num_samples,
        curve=smoothing.mean_spectrum(from_int16(np.asarray(clips))),
    )


def _check_stage(name: str, stage: Representation) -> None:
    """Refuse a noise distribution that says nothing of sound at the stage."""
    chain = stage.chain()
    if name in _OF_WAVEFORMS and len(chain) > 1:
        raise ValueError(
            f"--noise={name} is made for waveforms and enters at --rep={stage.name}: "
            f"give --rep={chain[0].name}, or --noise=gaussian or uniform"
        )
    if name == "gain" and (reason := _not_a_level(stage)):
        scaled = [member.name for member in chain if not _not_a_level(member)]
        raise ValueError(
            f"--noise=gain at --rep={stage.name} says nothing of louder or quieter "
            f"playback: {reason}. Give --rep={' or --rep='.join(scaled)}"
        )


@functools.cache
def _not_a_level(stage: Representation) -> str:
    """The reason why a change of level is no factor of the stage; empty if it is."""
    if stage.source is None:
        return ""
    apply = jax.jit(stage.apply)
    wave = np.random.default_rng(0).normal(0, 0.05, stage.num_samples)
    quiet, loud = (np.asarray(apply(np.float32(wave * c))) for c in (1.0, 2.0))
    size = np.abs(loud).max()
    if np.allclose(loud, 2 * quiet, rtol=0, atol=1e-3 * size):
        return ""
    if np.allclose(loud, quiet, rtol=0, atol=1e-3 * size):
        return "what it holds is normalised, so that no change of level moves it"
    return "a change of level does not multiply what it holds"


def beyond_full_scale(
    choice: str, records: Data, *, sigma: float, num_points: int
) -> dict[str, float]:
    """Of random gain, the share of copies whose peak passes full scale, by its name."""
    name, options = catalog.parse(choice)
    if name != "gain":
        return {}
    source = records.test
    places = spread(len(source), num_points).tolist()
    peaks = [np.abs(from_int16(source[at]["audio"])).max() for at in places]
    with np.errstate(divide="ignore"):
        room = -np.log(np.asarray(peaks, np.float64))
    share = special.ndtr(-room / options.get("sigma", sigma)).mean()
    return {"share_beyond_full_scale": round(float(share), 6)}


def caveats(settings: Mapping[str, Any]) -> Iterator[str]:
    """Limits of a run's noise that its radii alone do not show."""
    if (share := settings.get("share_beyond_full_scale")) is not None:
        yield (
            f"{100 * share:.1f} % of the copies pass full scale, where playback would "
            "clip them; certificates are for copies that are not clipped"
        )
