"""The smoothing law of a task, and whether it means something at its stage."""

import functools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from scipy import stats

from advjax import catalog, records, smoothing
from advjax.representations import Representation
from advjax.signal.samples import from_int16

if TYPE_CHECKING:
    from experiments.lab.pipeline import Task

_OF_WAVEFORMS = ("coloured", "pcm16", "masked")
"""Smoothing laws that a stage of images has no use for."""


def law_of(task: "Task") -> smoothing.Noise:
    """The task's smoothing law.

    Raises:
        ValueError: an unknown law or option, or a law without a meaning at the stage.
    """
    name, options = catalog.parse(task.noise_choice)
    root = task.representation.chain()[0]
    if curve_of_corpus(task):
        _check_stage(name, task)
        _build(task, curve="a_weighting")  # wrong options fail before any work
        clips = task.dataset("train", root.name).x
        return smoothing.coloured(
            options.get("sigma", task.sigma),
            num_samples=root.num_samples,
            curve=smoothing.mean_spectrum(from_int16(clips)),
        )
    built = _build(task)
    _check_stage(name, task)
    return built


def check_law(task: "Task") -> None:
    """Refuse a wrong law; unlike `law_of`, build no records for it."""
    if not curve_of_corpus(task):
        task.noise  # noqa: B018
        return
    _check_stage("coloured", task)
    _build(task, curve="a_weighting")


def curve_of_corpus(task: "Task") -> bool:
    """True if the law follows the spectrum of the training clips."""
    name, options = catalog.parse(task.noise_choice)
    return name == "coloured" and options.get("curve") == "corpus"


def _build(task: "Task", **changed: Any) -> smoothing.Noise:
    name, options = catalog.parse(task.noise_choice)
    root = task.representation.chain()[0]
    return catalog.build(
        name,
        options | changed,
        smoothing.NOISES,
        sigma=task.sigma,
        # As much power as Gaussian noise has.
        half_width=math.sqrt(3) * task.sigma,
        num_samples=root.num_samples,
        sample_rate_hz=root.sample_rate_hz,
    )


def _check_stage(name: str, task: "Task") -> None:
    """Refuse a law that says nothing of sound at the task's stage."""
    chain = task.stage.chain()
    if name in _OF_WAVEFORMS and len(chain) > 1:
        raise ValueError(
            f"--noise={name} is made for waveforms and enters at --rep={task.at}: "
            f"give --rep={chain[0].name}, or --noise=gaussian or uniform"
        )
    if name == "gain" and (reason := _not_a_level(task.stage)):
        scaled = [stage.name for stage in chain if not _not_a_level(stage)]
        raise ValueError(
            f"--noise=gain at --rep={task.at} says nothing of louder or quieter "
            f"playback: {reason}. Give --rep={' or --rep='.join(scaled)}"
        )


@functools.cache
def _not_a_level(stage: Representation) -> str:
    """Why a change of level is no factor of the stage; nothing where it is one."""
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


def beyond_full_scale(task: "Task", num_points: int) -> dict[str, float]:
    """Of random gain, the share of copies whose peak passes full scale, by its name.

    Args:
        task: one whose records are there.
        num_points: test clips, spread over the split.
    """
    if task.noise.norm != "gain":
        return {}
    _, options = catalog.parse(task.noise_choice)
    source = records.read(task.records, "test")
    places = np.linspace(0, len(source) - 1, num_points).round().astype(int).tolist()
    peaks = [np.abs(from_int16(source[at]["audio"])).max() for at in places]
    with np.errstate(divide="ignore"):
        room = -np.log(np.asarray(peaks, np.float64))
    share = stats.norm.sf(room / options.get("sigma", task.sigma)).mean()
    return {"share_beyond_full_scale": round(float(share), 6)}


def caveats(settings: Mapping[str, Any]) -> Iterator[str]:
    """Facts of a run's law that its radii alone do not tell."""
    if (share := settings.get("share_beyond_full_scale")) is not None:
        yield (
            f"{100 * share:.1f} % of the copies pass full scale, where playback would "
            "clip them; certificates are for copies that are not clipped"
        )
