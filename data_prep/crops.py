"""Examples of one length, cut from the utterances of a corpus by a policy.

A policy takes the lengths of the utterances of one class, after the activity cut, and
returns (utterance, offset) pairs. They are a function of the seed, the split, the name
of the class and the lengths, and do not depend on other classes of the corpus. An
example's id is the id of its utterance and its first sample in the whole decoded
recording, `118-47824-0003@51200`. Ids occur once.

Under the policy "whole" every utterance is one example from its beginning, including
quiet parts.
"""

import hashlib
import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from advjax.runtime.text import printable
from advjax.signal.samples import to_int16
from data_prep.clips import UnreadableAudio, activity_bounds
from data_prep.corpora.base import Corpus, Utterance, check_split

NUM_SAMPLES = 25_800  # 1.6125 s at 16 kHz: exactly 160 frames of 400/160
MAX_ROUNDS = 20  # of drawing; only a class of a few short utterances needs many

Start = tuple[int, int]
"""(utterance of a class, its sample at which an example starts)."""

Policy = Callable[..., list[Start]]
"""(lengths, num_crops, *, num_samples, generator) -> starts, all different."""


class Crop(NamedTuple):
    """One example as stored: `num_samples` of 16-bit audio.

    `num_after` samples of its utterance follow it.
    """

    id: str
    audio: Int16[np.ndarray, "time"]
    label: int
    speaker: str
    num_after: int


class Skipped(NamedTuple):
    """A recording that was left out of a build, and the reason."""

    path: str
    reason: str


def random_crops(
    lengths: Sequence[int],
    num_crops: int,
    *,
    num_samples: int,
    generator: np.random.Generator,
) -> list[Start]:
    """Starts drawn with replacement: an utterance, then a place in it, both uniform.

    A repeated start is drawn again, since its example would be the same. Fewer than
    `num_crops` are returned where there are hardly so many. A smaller `num_crops` gives
    the beginning of the same list.

    Source: the drawing of Deep Speaker's code, which keeps repetitions.
    """
    room = [_num_starts(length, num_samples) for length in lengths]
    goal = min(num_crops, sum(room))
    starts: dict[Start, None] = {}
    for _ in range(MAX_ROUNDS):
        for which, where in generator.random((num_crops, 2)):
            utterance = int(which * len(room))
            starts[utterance, int(where * room[utterance])] = None
            if len(starts) == goal:
                return list(starts)
    return list(starts)


def spaced_crops(
    lengths: Sequence[int],
    num_crops: int,
    *,
    num_samples: int,
    generator: np.random.Generator | None = None,
) -> list[Start]:
    """Starts spread evenly over all utterances, without randomness.

    Every utterance has one start before any has two. If there are more utterances than
    crops, one in every few has a start. Further starts go where starts lie farthest
    apart, so that long utterances have more. Within an utterance starts are the middles
    of equal parts. Fewer than `num_crops` are returned if there are fewer starts.
    """
    del generator  # only the random policy needs it
    num_utterances = len(lengths)
    room = [_num_starts(length, num_samples) for length in lengths]
    if num_crops <= num_utterances:
        counts = [0] * num_utterances
        for crop in range(num_crops):
            counts[(2 * crop + 1) * num_utterances // (2 * num_crops)] = 1
    else:
        counts = _shares(room, num_crops)
    return [
        (utterance, (2 * part + 1) * room[utterance] // (2 * count))
        for utterance, count in enumerate(counts)
        for part in range(count)
    ]


POLICIES: dict[str, Policy] = {"random": random_crops, "spaced": spaced_crops}
WHOLE = "whole"  # not in the table: without lengths, clips are read one by one


def most_crops(
    utterances: Sequence[Utterance], per_class: int, *, num_samples: int, rate_hz: int
) -> int:
    """Largest number of different examples that some utterances can give.

    Args:
        utterances: of one split.
        per_class: crops of each class that are asked for.
        num_samples: length of an example.
        rate_hz: of the waves.
    """
    room: dict[int, float] = {}
    for each in utterances:
        length = math.inf if each.seconds is None else math.ceil(each.seconds * rate_hz)
        starts = length if math.isinf(length) else _num_starts(length, num_samples)
        room[each.label] = room.get(each.label, 0) + starts
    return sum(int(min(per_class, starts)) for starts in room.values())


def crops(
    corpus: Corpus,
    split: str,
    *,
    policy: str,
    per_class: int,
    num_samples: int = NUM_SAMPLES,
    seed: int = 0,
    on_error: str = "stop",
    skipped: list[Skipped] | None = None,
    progress: Callable[[], object] | None = None,
) -> Iterator[Crop]:
    """Examples of one split, class after class, read during iteration.

    Every utterance of the split is read once, cut to its activity (not under "whole"),
    rounded to 16 bits and cropped. An utterance shorter than an example is padded with
    zeros at its end.

    Args:
        corpus: source of the utterances.
        split: one of `SPLITS`.
        policy: "random", "spaced" or "whole".
        per_class: number of crops of each class; fewer if its utterances are too short
            for so many. Under "whole", a class has one of each utterance instead.
        num_samples: length of an example.
        seed: of the random policy.
        on_error: "stop" raises at the first recording that cannot be read; "skip"
            leaves it out.
        skipped: list that gets the recordings that are left out.
        progress: called after each utterance (`Progress.advance`).

    Raises:
        ValueError: an unknown option, or a class without a readable recording.
        UnreadableAudio: with `on_error="stop"`, while iterating.
    """
    check_split(split)
    if policy not in (*POLICIES, WHOLE):
        names = " or ".join((*POLICIES, WHOLE))
        raise ValueError(f"no crop policy {policy!r}; choose {names}")
    if on_error not in ("stop", "skip"):
        raise ValueError(f"on_error must be 'stop' or 'skip', not {on_error!r}")
    if per_class < 1 or num_samples < 1:
        raise ValueError("per_class and num_samples must be at least 1")
    by_class: dict[int, list[Utterance]] = {}
    for utterance in corpus.utterances(split):
        by_class.setdefault(utterance.label, []).append(utterance)

    # An inner generator, so that the checks above run at the call and not at the first
    # example.
    def examples() -> Iterator[Crop]:
        for label, utterances in sorted(by_class.items()):
            name = corpus.labels[label]
            read = _whole if policy == WHOLE else _active
            readable = _readable(utterances, read, on_error, skipped, progress)
            first = next(readable, None)
            if first is None:
                raise ValueError(
                    f"none of the {len(utterances)} {split} recordings of {name} can "
                    "be read: repair them, or leave this class out of the corpus"
                )
            recordings = itertools.chain([first], readable)
            if policy == WHOLE:
                yield from (_crop(each, 0, num_samples) for each in recordings)
                continue
            recordings = list(recordings)
            starts = POLICIES[policy](
                [len(recording.audio) for recording in recordings],
                per_class,
                num_samples=num_samples,
                generator=np.random.default_rng(_entropy(seed, split, name)),
            )
            for index, start in starts:
                yield _crop(recordings[index], start, num_samples)

    return examples()


class _Recording(NamedTuple):
    """An utterance in memory: the part to cut from, and its first sample."""

    utterance: Utterance
    audio: Int16[np.ndarray, "part"]
    first: int


def _readable(
    utterances: Sequence[Utterance],
    read: Callable[[Utterance], _Recording],
    on_error: str,
    skipped: list[Skipped] | None,
    progress: Callable[[], object] | None,
) -> Iterator[_Recording]:
    """Readable utterances; others are listed in `skipped`, or raise the error."""
    for utterance in utterances:
        try:
            yield read(utterance)
        except UnreadableAudio as error:
            if on_error == "stop":
                raise
            if skipped is not None:
                skipped.append(Skipped(printable(error.path), printable(error.reason)))
        if progress is not None:
            progress()


def _whole(utterance: Utterance) -> _Recording:
    return _Recording(utterance, to_int16(utterance.load()), 0)


def _active(utterance: Utterance) -> _Recording:
    """Read an utterance and cut it to its activity."""
    wave = utterance.load()
    first, stop = activity_bounds(wave)
    return _Recording(utterance, to_int16(wave[first:stop]), first)


def _crop(recording: _Recording, start: int, num_samples: int) -> Crop:
    """Example that starts at a sample of the part."""
    audio = np.zeros(num_samples, np.int16)
    part = recording.audio[start : start + num_samples]
    audio[: len(part)] = part
    utterance = recording.utterance
    return Crop(
        f"{utterance.id}@{recording.first + start}",
        audio,
        utterance.label,
        utterance.speaker,
        len(recording.audio) - start - len(part),
    )


def _num_starts(length: int, num_samples: int) -> int:
    """Number of different examples in an utterance of this length, at least one."""
    return max(1, length - num_samples + 1)


def _shares(room: list[int], num_crops: int) -> list[int]:
    """Number of crops of each utterance, nearly in proportion to its room.

    Each utterance has one. Every further crop goes to the utterance with the most room
    for each crop that it has: Adams's method of apportionment.
    """
    counts = [1] * len(room)
    queue = [(-space, index) for index, space in enumerate(room) if space > 1]
    heapq.heapify(queue)
    for _ in range(num_crops - len(room)):
        if not queue:
            break
        _, index = heapq.heappop(queue)
        counts[index] += 1
        if counts[index] < room[index]:
            heapq.heappush(queue, (-room[index] / counts[index], index))
    return counts


def _entropy(seed: int, split: str, name: str) -> int:
    """Separate seed for each class of each split."""
    digest = hashlib.sha256(f"{seed}/{split}/{name}".encode()).digest()
    return int.from_bytes(digest[:16], "big")
