"""Meaning of the flags of studies that are grids of cells."""

import re
from collections.abc import Mapping
from typing import TypeVar

from experiments import flags
from experiments.lab.console import say

T = TypeVar("T")

# The sample rates that the papers of Esmaeilpour's group use, and the length of a clip.
CORPORA = {
    "esc50": {"sample_rate_hz": 8_000, "seconds": 5.0},
    "urbansound8k": {"sample_rate_hz": 16_000, "seconds": 4.0},
}


def preset(sizes: Mapping[str, T]) -> T:
    """The size that --preset names, said on the screen.

    Raises:
        ValueError: the study has none of that name.
    """
    name = flags.PRESET.value
    if name not in sizes:
        raise ValueError(f"--preset={name}: this study has {', '.join(sizes)}")
    say(f"preset      {name} (--preset: {', '.join(sizes)})")
    return sizes[name]


def corpus_folders() -> dict[str, str]:
    """The folder of each corpus that was given.

    Raises:
        ValueError: none was.
    """
    given = {
        "esc50": flags.ESC50_DIR.value,
        "urbansound8k": flags.URBANSOUND8K_DIR.value,
    }
    folders = {name: folder for name, folder in given.items() if folder}
    if not folders:
        raise ValueError("give --esc50_dir=FOLDER, --urbansound8k_dir=FOLDER, or both")
    return folders


def parse_share(text: str) -> tuple[int, int]:
    """I and N of what --share says.

    Raises:
        ValueError: it says something else.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise ValueError(f"--share={text}: write I/N with I from 0 to N - 1")
    return int(found[1]), int(found[2])
