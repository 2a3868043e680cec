"""Pairs of WAVs, clean and adversarial, with predictions on the written files.

A file of 16 bits is not the example that was attacked. It is rounded to steps of
1/32768 and clipped at full scale, and for a stage after the waveform it is the result
of the stages' inverses. So the classifier predicts the files.
"""

import pathlib
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.metrics.distortion import radius_snr_db
from advjax.reports import tables
from advjax.runs.rows import Schema
from advjax.runtime.text import printable
from experiments.lab import folder_names
from experiments.lab.audio import FORMATS, read_wav, write_wav

EXAMPLES_FILE = "examples.tsv"


class WavPair(NamedTuple):
    """A line of `examples.tsv`.

    Attributes:
        id: the clip's.
        label: its class.
        target: the class to reach; empty for an untargeted attack.
        clean: the prediction on the clean file.
        adversarial: the prediction on the adversarial file.
        fools: "yes" where the clean file is classified right and the adversarial one
            meets the attack's goal, else "no".
        clipped: samples of the adversarial file that lay beyond full scale.
        snr_db: of the adversarial file to the clean one; inf where they are identical.
        format: of the files, one of `FORMATS`.
        file: the adversarial file; empty where it would be identical to the clean one,
            so that none is written.
        clean_file: the clean file. Lists of earlier versions lack it.
    """

    id: str
    label: str
    target: str
    clean: str
    adversarial: str
    fools: str
    clipped: int
    snr_db: float
    format: str
    file: str
    clean_file: str = ""


def clean_file(pair: WavPair) -> str:
    """Name of a pair's clean file, also where its list does not say it."""
    stem = pair.file.removesuffix("_adversarial.wav")
    return pair.clean_file or (f"{stem}_clean.wav" if stem else "")


def save_pair(
    stem: pathlib.Path,
    clean: Float[np.ndarray, "time"],
    adversarial: Float[np.ndarray, "time"],
    classifier: Classifier,
    *,
    id: str,
    label: int,
    target: int = -1,
    audio_format: str = "pcm16",
    precision: str = "float32",
) -> WavPair:
    """Write STEM_clean.wav and STEM_adversarial.wav, read them back and predict them.

    Where rounding removes the whole perturbation, no file is kept.

    Args:
        stem: the files' folder and the beginning of their names.
        clean: the clean clip.
        adversarial: the adversarial one.
        classifier: predicts the files, from the waveform on.
        id: the clip's.
        label: its class.
        target: the class to reach; -1 for an untargeted attack.
        audio_format: one of `FORMATS`.
        precision: of the network.
    """
    root, labels = classifier.representation.chain()[0], classifier.labels
    paths = [
        stem.with_name(f"{stem.name}_{kind}.wav") for kind in ("clean", "adversarial")
    ]
    _, clipped = (
        write_wav(path, wave, root.sample_rate_hz, audio_format=audio_format)
        for path, wave in zip(paths, (clean, adversarial), strict=True)
    )
    files = np.stack([read_wav(path) for path in paths])
    logits_fn = classifier.logits_fn(root.name, precision=precision)
    logits = evaluation.logits_of_batch(logits_fn, files, batch_size=2)
    before, after = logits.argmax(axis=1).tolist()
    identical = bool((files[0] == files[1]).all())
    if identical:
        for path in paths:
            path.unlink()
    reached = after == target if target >= 0 else after != label
    added = float(np.linalg.norm(np.float64(files[1]) - files[0]))
    return WavPair(
        id=printable(id),
        label=printable(labels[label]),
        target=printable(labels[target]) if target >= 0 else "",
        clean=printable(labels[before]),
        adversarial=printable(labels[after]),
        fools="yes" if before == label and reached and not identical else "no",
        clipped=clipped,
        snr_db=round(float(radius_snr_db(files[0], added)), 2),
        format=audio_format,
        file="" if identical else paths[1].name,
        clean_file="" if identical else paths[0].name,
    )


def in_words(pair: WavPair) -> str:
    """A line on one pair, for a person."""
    if not pair.file:
        return (
            f"{pair.id}: no WAV, because {pair.format} rounds the whole perturbation "
            "away: the two files would be identical"
        )
    goal = f" (target {pair.target})" if pair.target else ""
    verdict = "still fools" if pair.fools == "yes" else "NO LONGER FOOLS"
    return (
        f"{pair.id}: {verdict} as {pair.format}: clean file {pair.clean}, adversarial "
        f"file {pair.adversarial}{goal}; {pair.snr_db:.1f} dB, {pair.clipped} samples "
        "clipped"
    )


def still_fooling(pairs: Sequence[WavPair]) -> str:
    """Number of pairs that still fool the classifier, by format."""
    formats = [each for each in FORMATS if any(pair.format == each for pair in pairs)]
    parts = []
    for each in formats:
        fools = [pair.fools == "yes" for pair in pairs if pair.format == each]
        unit = f" as {each}" if len(formats) > 1 else ""
        parts.append(f"{sum(fools)} of {len(fools)}{unit}")
    return ", ".join(parts)


def table(pairs: Sequence[WavPair]) -> tables.Table:
    """A row for each pair."""
    rows = [
        [
            pair.id,
            f"{pair.label} (to {pair.target})" if pair.target else pair.label,
            pair.clean,
            pair.adversarial,
            pair.fools if pair.file else "no: identical, not written",
            f"{pair.clipped}",
            f"{pair.snr_db:.1f}",
            pair.format,
        ]
        for pair in pairs
    ]
    return tables.Table(
        [
            "clip", "label", "clean file", "adversarial file", "still fools", "clipped",
            "SNR in dB", "format",
        ],
        rows,
        [
            "predictions on the files as they were written; clipped: samples beyond "
            "full scale, of the adversarial file"
        ],
    )  # fmt: skip


def safe_name(text: str, most: int = 80) -> str:
    """A text as a part of a file name, different for different texts.

    Letters and digits of ASCII and `-._@=` stay; other characters become %XX, their
    bytes in UTF-8. A long name is cut, and ends in a digest.
    """
    name = urllib.parse.quote(text, safe="@=", errors="surrogatepass")
    name = re.sub("^[.]|~", lambda found: f"%{ord(found[0]):02X}", name)
    if len(name) > most:
        name = f"{name[: most - 9]}-{folder_names.digest(text, 8)}"
    return name


_TABLE = Schema(WavPair, "pairs of WAVs", quoted=True, optional=1)


def write(file: pathlib.Path, pairs: Iterable[WavPair]) -> None:
    """Write one line for each pair below a header, whole or not at all."""
    _TABLE.write(file, pairs)


def read(file: pathlib.Path) -> list[WavPair]:
    """The pairs of a file of `write`; none where the file is missing.

    Raises:
        ValueError: the file is another one, or damaged.
    """
    if not file.exists():
        return []
    try:
        pairs = list(_TABLE.parse(file.read_bytes(), file))
        for pair in pairs:
            if pair.fools not in ("yes", "no") or pair.format not in FORMATS:
                raise ValueError(f"a line has {pair.fools!r} and {pair.format!r}")
    except ValueError as error:
        raise ValueError(
            f"{printable(str(file))} does not list WAVs: {printable(str(error))}. "
            "Delete it; `attack --save_audio` writes it again"
        ) from error
    return pairs
