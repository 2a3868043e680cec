"""Parts of a report's page: players and spectrograms of WAV pairs, and their origin."""

import io
import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.io import wavfile

from advjax.metrics.robustness import attackable
from advjax.reports import figures, page
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.signal.samples import from_int16, to_int16
from experiments.lab import wav_pairs
from experiments.lab.run_labels import title_of
from experiments.lab.wav_pairs import WavPair

_MOST_LETTERS = 16_000_000
"""Size of the clips in a page, which then fits into a mail."""
_PEAK = 0.5
"""Peak of a difference that is made audible."""


def blocks(
    folders: Sequence[pathlib.Path], audio: Mapping[pathlib.Path, pathlib.Path]
) -> list[page.Block]:
    """Sections of the page, one for each run with successes.

    Args:
        folders: of the runs.
        audio: folders of WAV pairs by run; by default the run's own.
    """
    found: list[page.Block] = []
    cards_of = _fitting([audio.get(folder, folder) for folder in folders])
    for folder, cards in zip(folders, cards_of, strict=True):
        settings = runs.description(folder)["settings"]
        rows, stage = ATTACK_ROWS.read(folder), settings["perturbation_enters_at"]
        won = rows.success & attackable(rows.label, rows.clean, rows.target)
        shown = f"{len(cards)} of {won.sum()} successes"
        if cards:
            shown += ", as files of 16 bits"
            if stage != "waveform":
                shown += f" that are turned back from {stage}"
        picture = folder / "examples.png"
        if cards or (won.any() and picture.exists()):
            found += [page.Heading(title_of(settings)), f"{shown}."]
            found += map(page.Html, cards)
            alt = "Clean, attacked and their difference at the network's input"
            found += [page.Picture(picture, alt)] if picture.exists() else []
    return found


def origin(folders: Sequence[pathlib.Path]) -> tuple[str, list[tuple[str, str]]]:
    """Title of the page, and the names and values that say where its runs come from."""
    described = list(map(runs.description, folders))
    titles = [title_of(each["settings"]) for each in described]
    corpora = dict.fromkeys(each["settings"].get("corpus", "") for each in described)
    title = titles[0] if len(titles) == 1 else f"{len(titles)} attacks"
    title += f" on {' and '.join(corpora)}" if any(corpora) else ""
    values: dict[str, dict[str, None]] = {}
    for each in described:
        for name, value in _facts(each["settings"], each["environment"]).items():
            if value is not None:
                values.setdefault(name, {})[str(value)] = None
    return title, [(name, ", ".join(texts)) for name, texts in values.items()]


def _facts(settings: Mapping[str, Any], environment: Mapping[str, Any]) -> dict:
    """Names and values of one run; the page shows the last in full width."""
    classifier = pathlib.PurePath(environment.get("classifier_folder", "")).name
    return {
        "clips": settings.get("num_points"),
        "seed": settings.get("seed"),
        "device": environment.get("device"),
        "date": environment.get("date"),
        "code": environment.get("git"),
        "network": classifier or settings["classifier"],
        "command": environment.get("command"),
    }


def _fitting(folders: Sequence[pathlib.Path]) -> list[list[str]]:
    """Cards of the pairs in each folder, in turns, as many as a page holds."""
    found: list[list[str]] = [[] for _ in folders]
    room = _MOST_LETTERS
    for turn in itertools.zip_longest(*map(_cards, folders)):
        for cards, card in zip(found, turn, strict=True):
            if card is not None and len(card) <= room:
                cards.append(card)
                room -= len(card)
    return found


def _cards(folder: pathlib.Path) -> Iterator[str]:
    """A card for each pair of 16-bit WAVs that is listed in a folder."""
    for pair in wav_pairs.read(folder / wav_pairs.EXAMPLES_FILE):
        if pair.format == "pcm16":
            yield _card(pair, folder)


def _card(pair: WavPair, folder: pathlib.Path) -> str:
    """Players, spectrograms and judgement of one pair, as HTML."""
    badges = [(pair.label, "")] + [(f"target: {pair.target}", "")] * bool(pair.target)
    if not pair.file:
        badges.append(("rounded away: its file is the clean one", "bad"))
        return page.card(pair.id, badges, "")
    fools = pair.fools == "yes"
    badges.append((f"{pair.snr_db:.1f} dB SNR", ""))
    badges.append(
        ("still fools as a file", "good") if fools else ("fools no longer", "bad")
    )
    if pair.clipped:
        badges.append((f"{pair.clipped} samples clipped", "bad"))
    paths = [folder / name for name in (wav_pairs.clean_file(pair), pair.file)]
    if not all(path.is_file() for path in paths):
        return page.card(pair.id, [*badges, ("its WAVs are missing", "bad")], "")
    sounds = [path.read_bytes() for path in paths]
    (rate, before), (_, after) = (wavfile.read(io.BytesIO(each)) for each in sounds)
    clean, adversarial = from_int16(before), from_int16(after)
    raised, gain_db = _raised(adversarial - clean)
    stream = io.BytesIO()
    wavfile.write(stream, rate, to_int16(raised))
    sounds.append(stream.getvalue())
    captions = [
        ("Clean file", f"predicted: {pair.clean}"),
        ("Adversarial file", f"predicted: {pair.adversarial}"),
        ("Difference", f"played {gain_db} dB louder"),
    ]
    players = [
        page.player(sound, f"{name} of {pair.id}")
        for sound, (name, _) in zip(sounds, captions, strict=True)
    ]
    pictures, scales = [""] * 3, ""
    try:
        drawn = figures.spectrogram_pair(clean, adversarial, rate)
    except ImportError:
        pass
    else:
        extent = f"{len(clean) / rate:.2f} s, 0 to {rate / 2:g} Hz"
        pictures = [
            page.plot(
                png,
                f"Spectrogram of {pair.id}, {name.lower()}, {extent}",
                seconds=drawn.seconds,
                hz=drawn.hz,
            )
            for png, (name, _) in zip(drawn[:3], captions, strict=True)
        ]
        low, high, most = (f"{v:+.0f} dB" for v in drawn[3:6])
        scales = page.scale(figures.colour_stops(figures.LEVELS), low, high)
        change = figures.colour_stops(figures.CHANGES)
        scales += page.scale(change, f"−{most[1:]}", most)
    parts = zip(captions, pictures, players, strict=True)
    columns = [(name, text, drawn + heard) for (name, text), drawn, heard in parts]
    return page.card(pair.id, badges, page.side_by_side(columns) + page.below(scales))


def _raised(
    difference: Float[np.ndarray, "time"],
) -> tuple[Float[np.ndarray, "time"], int]:
    """A difference amplified to be heard, and the gain in whole decibels."""
    peak = float(np.abs(difference).max()) or 1.0
    gain_db = math.floor(20 * math.log10(_PEAK / peak))
    return difference * np.float32(10 ** (gain_db / 20)), gain_db
