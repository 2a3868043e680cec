"""Verify records: recompute features from the stored audio, and check the splits.

  python -m data_prep.verify --records=FOLDER

Every record is compared with its digest, and ids, labels and splits are checked.
Features of some are recomputed by the code that made them. In records with wavelets,
PyWavelets also recomputes the middle level of the scalogram. The exit code is 1 if
there is a problem.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from advjax import records
from advjax.runtime.paths import user_path
from advjax.runtime.progress import Progress
from advjax.runtime.text import printable
from advjax.signal.samples import from_int16
from data_prep import help, program, wavelets
from data_prep.build import MOST_TOLD, features_of
from data_prep.program_flags import (
    NUM_RECORDS,
    TOLERANCE,
    define_verify_flags,
)


class Verification(NamedTuple):
    """Result of a verification.

    Attributes:
        num_records: records in all splits.
        num_recomputed: records whose features were recomputed.
        worst: largest difference between a stored and a recomputed feature, relative
            to its magnitude where that is above 1.
        worst_id: id of the record with that difference.
        worst_wavelet: largest difference from PyWavelets, relative to the maximum of
            the level; None for records without wavelets.
        problems: one line for each.
    """

    num_records: int
    num_recomputed: int
    worst: float
    worst_id: str
    worst_wavelet: float | None
    problems: tuple[str, ...]


def verify(
    folder: records.Path,
    *,
    num_records: int = NUM_RECORDS,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    stream: Any = None,
) -> Verification:
    """Check every record, and recompute the features of some.

    Every id must occur once, every label must be a class, every class must have records
    in every split (except in the test split, for classes that the corpus does not
    test), and no utterance may be in two splits. The definition and the probe are
    compared with the code before any record is read.

    Args:
        folder: of the records.
        num_records: number of records whose features are recomputed, drawn over all
            splits.
        tolerance: largest accepted difference, as in `Verification.worst`.
        seed: of the draw of those records.
        stream: of the progress line; standard error if None.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the records cannot be read; see `records.info`.
    """
    folder = user_path(folder)
    info = records.info(folder)
    total = sum(info.splits.values())
    generator = np.random.default_rng(seed)
    chosen = set(generator.permutation(total)[:num_records].tolist())
    problems: list[str] = []
    seen: set[str] = set()
    split_of: dict[str, str] = {}
    recomputed: list[_Recomputed] = []
    place = 0
    with Progress("verify", total=total, unit="records", stream=stream) as progress:
        for split in info.splits:
            present: set[int] = set()
            source = records.read(folder, split, check=False)
            for index in range(len(source)):
                example, before = source[index], len(problems)
                identity, label = example["id"], example["label"]
                if identity in seen:
                    problems.append(f"the id {identity} occurs twice")
                seen.add(identity)
                if not 0 <= label < len(info.labels):
                    problems.append(f"{identity} has the label {label}")
                present.add(label)
                # An id is that of its utterance and the first sample in it.
                utterance = identity.rpartition("@")[0] or identity
                if split_of.setdefault(utterance, split) != split:
                    problems.append(
                        f"{utterance} is in {split_of[utterance]} and in {split}"
                    )
                if place in chosen:
                    recomputed.append(_recomputed(example, info))
                    problems += recomputed[-1].problems(tolerance)
                if len(problems) == before:
                    wrong = source.complaint(index, example)
                    problems += [f"{identity}: {wrong}"] if wrong else []
                place += 1
                progress.advance()
            problems += [
                f"{split} has no records of {name}"
                for label, name in enumerate(info.labels)
                if label not in present
                and not (
                    split == "test" and name in info.metadata.get("not_tested", ())
                )
            ]
    unique = tuple(dict.fromkeys(problems))
    none = _Recomputed("", 0.0, None)
    worst = max([none, *recomputed], key=lambda each: each.difference)
    off = [each.wavelet for each in recomputed if each.wavelet is not None]
    return Verification(
        total, len(chosen), worst.difference, worst.id, max(off, default=None), unique
    )


class _Recomputed(NamedTuple):
    """Differences of one record; see `Verification`."""

    id: str
    difference: float
    wavelet: float | None

    def problems(self, tolerance: float) -> list[str]:
        found = []
        if self.difference > tolerance:
            found.append(f"{self.id} is off by {self.difference:.3g}")
        if self.wavelet is not None and self.wavelet > wavelets.TOLERANCE:
            found.append(f"{self.id} is off by {self.wavelet:.3g} from PyWavelets")
        return found


def _recomputed(example: records.Example, info: records.Info) -> _Recomputed:
    """Differences of one record; infinite if a feature is not a number."""
    wave = from_int16(example["audio"])
    features = features_of(info.representation, wave[None])[0]
    scale = np.maximum(1.0, np.abs(features))
    stored = example.get("features", features)
    difference = float(np.max(np.abs(stored - features) / scale))
    if not np.isfinite(difference):
        difference = float("inf")
    off, scalogram = None, wavelets.scalogram_in(info.representation)
    if scalogram is not None:
        levels = features_of(scalogram, wave[None])[0]
        off = wavelets.difference(scalogram, wave, levels)
    return _Recomputed(example["id"], difference, off)


def main(argv: Sequence[str], values: flags.FlagValues = flags.FLAGS) -> None:
    """Verify the records that the flags name; exit with 1 if there is a problem."""
    del argv
    with program.readable_failures("data_prep.verify"):
        print(
            f"Verify the records in {printable(values.records)}: every digest, id, "
            f"label and split,\nand the features of {values.num_records} at most, "
            "recomputed from their audio",
            flush=True,
        )
        found = verify(
            values.records,
            num_records=values.num_records,
            tolerance=values.tolerance,
            seed=values.seed,
        )
    print(
        f"{found.num_records} records, {found.num_recomputed} recomputed; largest "
        f"difference {found.worst:.3g} (accepted: {values.tolerance:g})"
        + (f", of {printable(found.worst_id)}" if found.worst_id else "")
    )
    if found.worst_wavelet is not None:
        print(
            f"largest difference from PyWavelets {found.worst_wavelet:.3g} "
            f"(accepted: {wavelets.TOLERANCE:g})"
        )
    if not found.problems:
        print("no problems")
        return
    for problem in found.problems[:MOST_TOLD]:
        print(f"  {printable(problem)}")
    if len(found.problems) > MOST_TOLD:
        print(f"  and {len(found.problems) - MOST_TOLD} more")
    sys.exit(
        f"data_prep.verify: {len(found.problems)} problems. Build the records again, "
        f"in another folder: {help.command('data_prep.build')} --out=FOLDER"
    )


if __name__ == "__main__":
    define_verify_flags(flags.FLAGS)
    program.run(main, interrupted="interrupted: the same command starts again")
