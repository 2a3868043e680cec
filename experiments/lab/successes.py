"""Successes of an attack, as pictures and as pairs of WAVs."""

import itertools
import pathlib
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax import evaluation
from advjax.metrics.robustness import attackable
from advjax.reports import figures
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from advjax.runtime.text import printable
from experiments.lab import wav_pairs
from experiments.lab.adversarial_examples import check_example, examples
from experiments.lab.audio import has_inverse, onward, waveform_of
from experiments.lab.console import say
from experiments.lab.image_axes import image_axes
from experiments.lab.task import System

NO_PLOTS = "no figures: pip install matplotlib"
_ID_LETTERS = 14
"""Letters of a clip's id in a line beside its pictures."""


class Success(NamedTuple):
    """One success of a run.

    Attributes:
        row: of the run.
        x_adv: the adversarial example, at the stage that was attacked.
        clean: the clean clip at every stage of the chain, by name.
    """

    row: AttackRow
    x_adv: Float[np.ndarray, "*features"]
    clean: Mapping[str, Float[np.ndarray, "..."]]


def successes(system: System, folder: pathlib.Path) -> Iterator[Success]:
    """The successes of a run on clips that can be attacked, each checked.

    Raises:
        Damaged: an example is not the one that its row describes.
    """
    rows = ATTACK_ROWS.read(folder)
    won = rows.success & attackable(rows.label, rows.clean, rows.target)
    if not won.any():
        return
    count = int(runs.description(folder)["settings"]["num_points"])
    places = {point.id: n for n, point in enumerate(system.test_points(count))}
    stored, source = examples(folder, places), system.data.split("test")
    for number, row in enumerate(rows):
        if won[number]:
            clip, x_adv = source[int(row.idx)]["audio"], np.asarray(stored[row.id])
            clean = {
                stage.name: evaluation.stage_features(stage, clip)
                for stage in system.representation.chain()
            }
            check_example(rows, number, clean[system.stage.name], x_adv, folder)
            yield Success(row, x_adv, clean)


def show(
    system: System, folder: pathlib.Path, *, count: int, audio_format: str | None
) -> None:
    """Draw the first successes and, if wanted, write and judge WAV pairs of them.

    The figure shows clean, adversarial and their difference at the network's input.

    Args:
        system: whose classifier was attacked.
        folder: the run's.
        count: the number of successes.
        audio_format: "pcm16", or "float32" for such files beside those of 16 bits; None
            for no WAVs.
    """
    first = list(itertools.islice(successes(system, folder), count))
    if audio_format and not is_audible(system):
        say(f"no WAV: {system.stage.name} cannot be turned back into a waveform")
    elif audio_format:
        formats = dict.fromkeys(["pcm16", audio_format])
        if pairs := save_pairs(system, first, folder, formats):
            fooling = wav_pairs.still_fooling(pairs)
            say(
                f"            WAV pairs that still fool: {fooling}; examples.tsv has "
                "each."
            )
    if first:
        _draw(system, first, folder / "examples.png")


def is_audible(system: System) -> bool:
    """True if the attacked stage can be turned back into a waveform."""
    return all(map(has_inverse, system.stage.chain()[1:]))


def save_pairs(
    system: System,
    chosen: Iterable[Success],
    folder: pathlib.Path,
    formats: Iterable[str] = ("pcm16",),
) -> list[wav_pairs.WavPair]:
    """Write successes as pairs of WAVs, judge the files, and list them.

    WAVs need an inverse of every step before the stage that was attacked.

    Args:
        system: whose classifier was attacked.
        chosen: the successes.
        folder: of the WAVs and their list; none is written without a success.
        formats: of the files.
    """
    formats = tuple(formats)
    pairs = [_pair(system, folder, each, kind) for each in chosen for kind in formats]
    if pairs:
        wav_pairs.write(folder / wav_pairs.EXAMPLES_FILE, pairs)
    return pairs


def _draw(system: System, chosen: Iterable[Success], file: pathlib.Path) -> None:
    """Draw successes at the network's input, if that is an image."""
    representation, labels = system.representation, system.classifier.labels
    ids, panels, titles = [], [], []
    for row, x_adv, every_stage in chosen:
        ids.append("\n".join(textwrap.wrap(printable(row.id), _ID_LETTERS)))
        before = every_stage[representation.name]
        after = np.asarray(onward(representation, system.stage.name, x_adv))
        panels.append([before, after, after - before])
        clean, fooled = (printable(labels[n]) for n in (row.clean, row.predict))
        change = f"difference, SNR {row.snr_db:.1f} dB"
        titles.append([f"clean: {clean}", f"attacked: {fooled}", change])
    images = np.asarray(panels)
    if images.ndim != 5:
        return
    try:
        figures.image_grid_plot(
            images[..., 0],
            file,
            row_labels=ids,
            titles=titles,
            units=representation.name,
            title="Clean, attacked, and their difference, at the network's input",
            last_is_difference=True,
            **image_axes(representation)._asdict(),
        )
    except ImportError:
        say(NO_PLOTS)


def _pair(system: System, folder, each: Success, audio_format: str):
    """One success as a pair of WAVs in the run's folder."""
    row, root = each.row, system.representation.chain()[0].name
    texts = (row.id, system.classifier.labels[row.label])
    names = [*map(wav_pairs.safe_name, texts)]
    if audio_format != "pcm16":
        names.append(audio_format)
    return wav_pairs.save_pair(
        folder / "_".join(names),
        each.clean[root],
        waveform_of(system.stage, each.x_adv, each.clean),
        system.classifier,
        id=row.id,
        label=int(row.label),
        target=int(row.target),
        audio_format=audio_format,
        precision=system.task.precision,
    )
