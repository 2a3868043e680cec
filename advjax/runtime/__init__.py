"""The machine that a program runs on: its paths, its terminal, its locks and signals.

The lowest floor: nothing here imports any other part of advjax. Only `compilation` and
`parallel` need JAX; the rest starts without it.
"""
