"""The processor of this machine, as far as Linux says."""

import functools
import pathlib
import platform
import re
from typing import NamedTuple

_INSTRUCTIONS = {
    "amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX",
    "sve": "SVE", "asimd": "NEON",
}  # fmt: skip


class Processor(NamedTuple):
    """A processor.

    Attributes:
        model: its name.
        instructions: its widest set of vector instructions; of an unknown one, the
            machine's kind.
    """

    model: str
    instructions: str


@functools.cache
def here() -> Processor:
    """This machine's."""
    info = pathlib.Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    about = dict(re.findall(r"(?m)^(model name|flags|Features)\s*: (.*)$", text))
    known = (about.get("flags") or about.get("Features") or "").split()
    widest = next((name for flag, name in _INSTRUCTIONS.items() if flag in known), "")
    fallback = platform.processor() or platform.machine()
    return Processor(about.get("model name", fallback), widest or platform.machine())
