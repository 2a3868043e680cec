"""Services of the machine: paths, terminal, locks, signals, compilation.

The lowest layer: it imports no other part of advjax. Only `compilation` and `parallel`
need JAX; the rest starts without it.
"""
