"""Flags of studies that are grids of cells."""

import re

from absl import flags

CELLS = flags.DEFINE_string("cells", "*", "Which cells to run; wildcards.")
SHARE = flags.DEFINE_string(
    "share", "0/1", "I/N: of what is shared, every N-th one, from the I-th one on."
)
PRESET = flags.DEFINE_enum(
    "preset",
    None,
    ["publication"],
    "The whole grid at full size, whatever the machine.",
)
GRID_FLAGS = (CELLS, SHARE, PRESET)


def parse_share(text: str) -> tuple[int, int]:
    """I and N of what --share says.

    Raises:
        ValueError: it says something else.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise ValueError(f"--share={text}: write I/N with I from 0 to N - 1")
    return int(found[1]), int(found[2])
