"""Flags of the studies of speakers."""

from experiments import flags

FLAGS = (
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *(flags.NUM_POINTS, flags.VOTES, flags.CROPS, flags.OUT),
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)
