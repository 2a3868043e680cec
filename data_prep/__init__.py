"""From audio to records: corpora, clips, builds and their verification."""

import sys

if sys.argv[:1] == ["-m"]:
    # Python looks for the program that it is told to run: before that imports JAX,
    # Ctrl-C gets its handler, closed streams their place and --help its answer.
    from advjax.runtime import interrupts, streams

    streams.settle()
    interrupts.install()

    from data_prep import help, program_flags

    _module = help.started_module()
    if _module.removeprefix("data_prep.") in program_flags.DEFINE:
        help.answer_and_exit(sys.argv[1:], lambda: program_flags.page_of(_module))
