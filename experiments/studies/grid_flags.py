"""Flags of studies that are grids of cells."""

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
