"""The error about damaged files."""


class Damaged(ValueError):
    """A saved file that was cut short, altered, or written by something else.

    The message names the file, the place in it and the expected content, and says what
    to do. A file that is missing or cannot be read is an `OSError` instead.
    """
