"""Programs: each trains, attacks, certifies or reports, from one command line."""

import sys

if sys.argv[:1] == ["-m"]:
    # Python looks for the program that it is told to run: before that imports JAX,
    # Ctrl-C gets its handler and closed streams their place.
    from advjax.runtime import interrupts, streams

    streams.settle()
    interrupts.install()
