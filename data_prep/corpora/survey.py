"""Survey of listed clips by the headers of their files, for people and for sizes."""

import collections
import os
from collections.abc import Sequence
from typing import NamedTuple

from advjax.runtime.text import printable
from data_prep.clips import Header, UnreadableAudio, header
from data_prep.corpora.files import some
from data_prep.corpora.listing import Clip

MOST_HEADERS = 5_000  # read in about a second; of more files every k-th is read
MOST_NAMED = 8  # classes that are named
MARGIN_S = 0.05  # by which a rounded end of a segment may exceed its file


class Survey(NamedTuple):
    """Headers of files, or the reasons why there is none.

    Attributes:
        headers: by path.
        problems: reasons, by path.
        stamps: (size, time of change in ns) of every file, by path.
        step: every so many files a header was read.
    """

    headers: dict[str, Header]
    problems: dict[str, str]
    stamps: dict[str, tuple[int, int]]
    step: int = 1

    def seconds(self, clip: Clip) -> float | None:
        """Length of a clip; None if its header was not read."""
        if clip.path not in self.headers:
            return None
        whole = self.headers[clip.path].seconds
        return max(0.0, min(whole, clip.end_s or whole) - clip.start_s)

    def problem(self, clip: Clip) -> str:
        """Reason why a clip cannot be read; empty if none is known."""
        if clip.path in self.headers:
            whole = self.headers[clip.path].seconds
            return outside(clip.start_s, clip.end_s, whole)
        return self.problems.get(clip.path, "")


def survey(clips: Sequence[Clip]) -> Survey:
    """Read the headers of the files of some clips, of many files some.

    Raises:
        ValueError: none of these files can be read.
    """
    stamps = {path: _stamp(path) for path in dict.fromkeys(clip.path for clip in clips)}
    step = -(-len(stamps) // MOST_HEADERS)
    headers, problems = {}, {}
    for path in list(stamps)[::step]:
        try:
            headers[path] = header(path)
        except UnreadableAudio as error:
            problems[path] = error.reason
    if not headers:
        path, reason = next(iter(problems.items()))
        raise ValueError(
            f"none of {len(problems)} files can be read; the first is "
            f"{printable(path)}: {printable(reason)}"
        )
    return Survey(headers, problems, stamps, step)


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns


def outside(start_s: float, end_s: float | None, length_s: float) -> str:
    """Reason why a segment is not in a recording of a length; empty if it is."""
    end = length_s if end_s is None else end_s
    if start_s >= end:
        return f"a segment from {start_s:g} to {end:g} s is empty"
    if end > length_s + MARGIN_S:
        return f"a segment ends at {end:g} s, and the recording at {length_s:.2f} s"
    return ""


def found_lines(
    where: str,
    clips: Sequence[Clip],
    seen: Survey,
    *,
    split: str,
    left_out: Sequence[str],
) -> tuple[str, ...]:
    """Five lines on a folder: classes, clips, rates, the split, and what is left out.

    Args:
        where: layout and folder, in words.
        clips: of the corpus.
        seen: their survey.
        split: a sentence on the split.
        left_out: sentences on files that are ignored.
    """
    sizes = collections.Counter(clip.label for clip in clips)
    names = ", ".join(map(printable, sorted(sizes)[:MOST_NAMED]))
    fewest, most = min(sizes.values()), max(sizes.values())
    each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    more = ", ..." if len(sizes) > MOST_NAMED else ""
    lengths = [s for s in map(seen.seconds, clips) if s is not None]
    minutes = sum(lengths) / 60 * len(clips) / max(1, len(lengths))
    about = "about " if seen.step > 1 else ""
    rates = collections.Counter(h.rate_hz for h in seen.headers.values())
    files = ", ".join(f"{count} of {rate} Hz" for rate, count in sorted(rates.items()))
    mixed = sum(h.num_channels > 1 for h in seen.headers.values())
    channels = f"; {mixed} with several channels, which are averaged" if mixed else ""
    by_reason: dict[str, list[str]] = {}
    for clip in clips:
        if reason := seen.problem(clip):
            by_reason.setdefault(reason, []).append(clip.id)
    problems = [
        f"{some(ids, 'clip')} cannot be read: {printable(reason)}"
        for reason, ids in by_reason.items()
    ]
    if problems:
        problems[-1] += " (--on_error=skip steps over such clips)"
    shortest, longest = f"{min(lengths):.2g}", f"{max(lengths):.2g}"
    between = longest if shortest == longest else f"{shortest} to {longest}"
    some_files = f" of every {seen.step}th file" if seen.step > 1 else ""
    return (
        f"Found {where}: {len(sizes)} classes ({names}{more}), {each} clips each.",
        f"{len(clips)} clips, {about}{minutes:.1f} minutes, {between} s each.",
        f"Rates{some_files}: {files}{channels}.",
        f"{split[:1].upper()}{split[1:]}.",
        f"Left out: {'; '.join([*left_out, *problems]) or 'nothing'}.",
    )
