"""From audio to records: corpora, clips, builds and their verification."""

import sys

if sys.argv[:1] == ["-m"]:
    # `python -m` imports this package first. Before the program imports JAX, Ctrl-C
    # gets its handler, closed streams are opened, and --help is answered.
    from advjax.runtime import interrupts, streams

    streams.settle()
    interrupts.install()

    from data_prep import help, program_flags

    _module = help.started_module()
    if _module.removeprefix("data_prep.") in program_flags.DEFINE:
        help.answer_and_exit(sys.argv[1:], lambda: program_flags.page_of(_module))
