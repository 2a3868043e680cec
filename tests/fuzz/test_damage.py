"""Damaged files of every kind: refused in words, done again, or read as they were.

`pytest -m slow -s tests/fuzz` prints how many damages of each kind ended how, and lists
those that changed what is read without a word, each with the reason.
"""

import collections
import resource
import signal
import warnings
import zlib

import numpy as np
import pytest

from tests.fuzz import mutations
from tests.fuzz.originals import ORIGINALS, Original

MOST_SECONDS = 20
MOST_BYTES = 1 << 29
"""Limit of the memory that reading one damaged file may add."""
OUTCOMES: dict[str, collections.Counter] = {}
SILENT: list[str] = []


class Hang(BaseException):
    """A reader has not come back in time."""


def _alarm(*_):
    raise Hang


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _outcome(original: Original, folder, before) -> tuple[str, object]:
    """End of reading a damaged folder, and what it gave or raised."""
    memory = _peak()
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        after = original.read(folder)
    except (ValueError, OSError) as error:
        if str(error).strip() and not isinstance(error, UnicodeError):
            return "refused", error
        return "fault", error
    except (Exception, Hang) as error:  # noqa: BLE001  that there is none is tested
        return "fault", error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if _peak() - memory > MOST_BYTES:
        return "fault", f"{(_peak() - memory) >> 20} MiB"
    if after == before:
        return "same", None
    # Votes that are not taken are counted anew, a training starts anew: both is told.
    if after == {} and original.name in ("votes", "training"):
        return "done again", None
    return "silent", after


@pytest.mark.slow
@pytest.mark.parametrize("original", ORIGINALS, ids=lambda o: o.name)
def test_damage_is_refused_or_changes_nothing(original, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "damaged"
    whole.mkdir()
    original.make(whole)
    before = original.read(whole)
    assert original.read(whole) == before
    files = sorted(
        str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()
    )
    rng = np.random.default_rng(zlib.crc32(original.name.encode()))
    counts, faults = OUTCOMES.setdefault(original.name, collections.Counter()), []
    handler = signal.signal(signal.SIGALRM, _alarm)
    try:
        for _ in range(original.count):
            mutations.copy(whole, folder)
            file = files[int(rng.integers(len(files)))]
            ending = f".{file.rpartition('.')[2]}"
            ways = original.ways.get(ending, original.ways.get("", mutations.ANY))
            state = rng.bit_generator.state["state"]["state"]
            how = mutations.damage(rng, folder, file, ways)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome, found = _outcome(original, folder, before)
            where = f"{original.name}: {file}, {how}"
            if outcome == "silent":
                reason = original.explain(before, found)
                if reason is None:
                    outcome = "fault"
                    found = f"read as {str(found)[:300]}"
                else:
                    SILENT.append(f"{where}: {reason}")
            if outcome == "fault":
                faults.append(f"{where} (state {state}): {found!r}"[:600])
            counts[outcome] += 1
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert not faults, "\n".join(faults)


@pytest.mark.slow
def test_there_were_enough_damages(capsys):
    if len(OUTCOMES) < len(ORIGINALS):
        pytest.skip("only some kinds were tried in this process")
    total = sum(OUTCOMES.values(), collections.Counter())
    with capsys.disabled():
        print()
        for name, counts in OUTCOMES.items():
            each = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
            print(f"{name:24} {sum(counts.values()):4}: {each}")
        print(f"{'all':24} {sum(total.values()):4}: {dict(sorted(total.items()))}")
        for line in sorted(SILENT):
            print(f"  silent: {line}")
    assert sum(total.values()) >= 500
