"""The smallest audible noise beside a task's clips, and what attacks on them add."""

import functools
import pathlib

import jax
import numpy as np
from jaxtyping import Int

from advjax import evaluation
from advjax.metrics.audibility import (
    audible_excess,
    audible_share,
    smallest_audible_l2,
)
from advjax.metrics.distortion import radius_snr_db, snr_db
from advjax.runs.row_types import (
    AUDIBILITY,
    AUDIBLE_ATTACKS,
    CERTIFICATES,
    AudibilityRow,
    AudibleAttackRow,
)
from advjax.signal.masking import masking_threshold
from advjax.signal.samples import from_int16
from experiments.lab.audio import has_inverse, waveform_of
from experiments.lab.successes import successes
from experiments.lab.task import System


def smallest_audible(audio: Int[np.ndarray, "time"], *, sample_rate_hz: int) -> float:
    """The least audible l2 norm beside a stored clip, in full scale."""
    return float(_smallest(from_int16(audio), sample_rate_hz))


@functools.partial(jax.jit, static_argnums=1)
def _smallest(wave, sample_rate_hz):
    threshold = masking_threshold(wave, sample_rate_hz=sample_rate_hz)
    return smallest_audible_l2(threshold, len(wave), sample_rate_hz=sample_rate_hz)


def write_audibility(system: System, folder: pathlib.Path) -> list[AudibilityRow]:
    """Compare a run's radii with the masking threshold; write its audibility.tsv."""
    source, rows = system.data.test, []
    rate = system.representation.sample_rate_hz
    for row in CERTIFICATES.read(folder):
        audio = source[row.idx]["audio"]
        audible = smallest_audible(audio, sample_rate_hz=rate)
        rows.append(
            AudibilityRow(
                row.id,
                row.radius,
                row.radius_wave,
                row.radius_wave_snr_db,
                audible,
                radius_snr_db(from_int16(audio), audible),
                row.radius_wave > audible,
            )
        )
    AUDIBILITY.write(folder / "audibility.tsv", rows)
    return rows


def report(system: System, folder: pathlib.Path) -> str:
    """One line on the successes of a run; writes its audible.tsv.

    A perturbation at a later stage is turned back into a waveform first, as for WAVs.
    Its audible part is then what the inverses make of it, and the line says how many of
    these waveforms still fool the classifier.
    """
    stage, root = system.stage, system.representation.chain()[0].name
    if not all(map(has_inverse, stage.chain()[1:])):
        return f"{stage.name} cannot be turned back into a waveform: nothing to hear"
    rate = system.representation.sample_rate_hz

    @jax.jit
    def heard(wave, changed):
        threshold, delta = masking_threshold(wave, sample_rate_hz=rate), changed - wave
        return (
            snr_db(wave, changed),
            audible_excess(delta, threshold),
            audible_share(delta, threshold),
        )

    rows, found, waves = [], [], []
    for each in successes(system, folder):
        changed = waveform_of(stage, each.x_adv, each.clean)
        rows.append(each.row)
        found.append([float(v) for v in heard(each.clean[root], changed)])
        waves.append(changed)
    fools = _fools(system, root, rows, waves)
    lines = [
        AudibleAttackRow(row.id, *numbers, fooled)
        for row, numbers, fooled in zip(rows, found, fools, strict=True)
    ]
    AUDIBLE_ATTACKS.write(folder / "audible.tsv", lines)
    if not found:
        return "no success, nothing to hear"
    snr, excess, share = np.median(found, axis=0)
    silent = np.mean([share == 0 for _, _, share in found])
    return (
        f"{sum(fools)} of {len(found)} successes still fool the classifier as "
        f"waveforms; their medians there: SNR {snr:.1f} dB, audible "
        f"excess {excess:.3g}, audible in {100 * share:.1f} % of frames and bins; "
        f"{100 * silent:.0f} % of them are below the threshold everywhere"
    )


def _fools(system: System, root: str, rows, waves) -> list[bool]:
    """Mask of the waveforms that meet the goal of the attack on their row."""
    if not waves:
        return []
    logits_fn = system.classifier.logits_fn(root)
    top = evaluation.logits_of_batch(logits_fn, np.stack(waves)).argmax(axis=1)
    label, target = np.array([(row.label, row.target) for row in rows]).T
    return np.where(target < 0, top != label, top == target).tolist()
