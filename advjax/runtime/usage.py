"""Resources that a process has used."""

import sys
import time
from typing import NamedTuple


class Usage(NamedTuple):
    """Resources that a process has used so far.

    Attributes:
        cpu_s: seconds of all its cores, user and system.
        peak_bytes: most memory.
    """

    cpu_s: float = 0.0
    peak_bytes: int = 0


def usage() -> Usage:
    """Resources that this process has used so far."""
    return Usage(time.process_time(), process_peak_bytes())


def process_peak_bytes() -> int:
    """Most memory of this process so far."""
    import resource  # not on Windows

    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
