"""Folders of runs: settings, provenance and rows, written and read."""
