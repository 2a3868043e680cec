"""The error of saved files that are not as they were written."""


class Damaged(ValueError):
    """A saved file that was cut short, altered, or written by something else.

    The message names the file, the place in it and what should be there, and says what
    to do. A file that is missing or that may not be read is an `OSError` instead: that
    is no damage.
    """
