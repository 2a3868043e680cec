"""Programs: each trains, attacks, certifies or reports, from one command line."""

import sys

if sys.argv[:1] == ["-m"]:
    # Python looks for the program that it is told to run: before that imports JAX,
    # Ctrl-C gets its handler, closed streams their place and --help its answer.
    from advjax.runtime import interrupts, streams

    streams.settle()
    interrupts.install()

    from data_prep import help
    from experiments import programs

    _module = help.started_module()
    if _module in programs.programs().values():
        help.answer_and_exit(sys.argv[1:], lambda: programs.page_of(_module))
