"""The machine that a program runs on: its paths, its terminal, its locks and signals.

The lowest floor of the package: nothing here imports JAX or any other part of advjax.
"""
