"""Studies: one file per publication, the grid of runs behind its tables."""
