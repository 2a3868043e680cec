"""Lines on standard error about what a program does."""

import sys


def say(text: str) -> None:
    """Print one line of progress, apart from the results on standard output."""
    if sys.stdout is not None:
        sys.stdout.flush()  # where both streams are one file, in their order
    print(text, file=sys.stderr, flush=True)
