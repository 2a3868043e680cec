"""Measured time of a cell of each kind, by preset."""

COSTS = {}
