"""Pieces that programs and studies share, from a task to its report."""
