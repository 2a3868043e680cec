"""Verifies records: recomputes features from the stored audio, checks the splits.

  python -m data_prep.verify --records=FOLDER

Prints the worst difference and everything that is wrong; ends with 1 if anything is.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from advjax import records
from advjax.runtime.paths import user_path
from advjax.runtime.progress import Progress
from advjax.signal.samples import from_int16
from data_prep import program
from data_prep.build import features_of
from data_prep.path_flags import define_path

# Backends and batch shapes round differently: up to 1e-5 of the largest value was seen.
TOLERANCE = 1e-3
NUM_RECORDS = 100


class Verification(NamedTuple):
    """Result of a verification.

    `worst` is the largest difference between a stored and a recomputed feature,
    relative to its magnitude where that is above 1, and `worst_id` the record it is in;
    `problems` says what is wrong, if anything.
    """

    num_records: int
    num_recomputed: int
    worst: float
    worst_id: str
    problems: tuple[str, ...]


def verify(
    folder: records.Path,
    *,
    num_records: int = NUM_RECORDS,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    stream: Any = None,
) -> Verification:
    """Check every record, and the features of some.

    Every id must occur once, every label be one of the classes, every class have
    records in every split (of those that the corpus does not test, all but the test
    split), and no utterance be in two splits. The definition and the
    probe are compared with the code before any record is read.

    Args:
        folder: the records.
        num_records: how many get their features recomputed, drawn over all splits.
        tolerance: largest difference that counts as rounding.
        seed: of that draw.
        stream: where the progress line goes; standard error if None.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it cannot be read; see `records.info`.
    """
    folder = user_path(folder)
    info = records.info(folder)
    total = sum(info.splits.values())
    generator = np.random.default_rng(seed)
    chosen = set(generator.permutation(total)[:num_records].tolist())
    problems: list[str] = []
    seen: set[str] = set()
    split_of: dict[str, str] = {}
    worst, worst_id, place = 0.0, "", 0
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
                # An id is its utterance and where the example starts in it.
                utterance = identity.rpartition("@")[0] or identity
                if split_of.setdefault(utterance, split) != split:
                    problems.append(
                        f"{utterance} is in {split_of[utterance]} and in {split}"
                    )
                if place in chosen:
                    difference = _difference(example, info)
                    if difference > tolerance:
                        problems.append(f"{identity} is off by {difference:.3g}")
                    if difference > worst:
                        worst, worst_id = difference, identity
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
    return Verification(total, len(chosen), worst, worst_id, unique)


def _difference(example: records.Example, info: records.Info) -> float:
    """The largest difference between stored and recomputed features of one record.

    Infinite where one of them is not a number.
    """
    wave = from_int16(example["audio"])
    features = features_of(info.representation, wave[None])[0]
    stored = example["features"]
    scale = np.maximum(1.0, np.abs(features))
    difference = float(np.max(np.abs(stored - features) / scale))
    return difference if np.isfinite(difference) else float("inf")


def define_flags(values: flags.FlagValues) -> None:
    """Define the flags of this command in `values`, and not on import."""
    define_path("records", None, "The folder.", required=True, values=values)
    flags.DEFINE_integer(
        "num_records", NUM_RECORDS, "How many to recompute.", 1, flag_values=values
    )
    flags.DEFINE_float(
        "tolerance", TOLERANCE, "What counts as rounding.", 0.0, flag_values=values
    )
    program.define_seed("Of the draw.", values=values)


def main(argv: Sequence[str], values: flags.FlagValues = flags.FLAGS) -> None:
    """Print what was found, and end with 1 where something is wrong."""
    del argv
    with program.readable_failures("data_prep.verify"):
        found = verify(
            values.records,
            num_records=values.num_records,
            tolerance=values.tolerance,
            seed=values.seed,
        )
    print(
        f"{values.records}: {found.num_records} records; worst difference of "
        f"{found.num_recomputed} recomputed ones {found.worst:.3g}"
        + (f" ({found.worst_id})" if found.worst_id else "")
    )
    for problem in found.problems[:20]:
        print(f"  {problem}")
    if found.problems:
        sys.exit(f"data_prep.verify: {len(found.problems)} problems")


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    program.run(main, interrupted="interrupted: the same command starts again")
