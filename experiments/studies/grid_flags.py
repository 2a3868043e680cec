"""Flags of studies that are grids of cells."""

import re

from absl import flags

from data_prep.path_flags import define_path

CELLS = flags.DEFINE_string("cells", "*", "Which cells to run; wildcards.")
SHARE = flags.DEFINE_string(
    "share", "0/1", "I/N: of what is shared, every N-th one, from the I-th one on."
)
PRESET = flags.DEFINE_enum(
    "preset",
    None,
    ["publication"],
    "The whole grid at full size, whatever the machine.",
)
GRID_FLAGS = (CELLS, SHARE, PRESET)

ESC50_DIR = define_path("esc50_dir", None, "The folder of ESC-50.")
URBANSOUND8K_DIR = define_path("urbansound8k_dir", None, "The folder of UrbanSound8K.")
PITCH_SHIFT = flags.DEFINE_enum(
    "pitch_shift",
    "resample",
    ["resample", "phase_vocoder", "none"],
    "How the four pitch-shifted copies of each training clip are made.",
)
SCALE = flags.DEFINE_float("scale", None, "Divides the sides of the images.")
POINTS = flags.DEFINE_integer("points", None, "Clips attacked in a cell, at most.")
IMAGE_FLAGS = (ESC50_DIR, URBANSOUND8K_DIR, PITCH_SHIFT, SCALE, POINTS)

# The sample rates that the papers of Esmaeilpour's group use, and the length of a clip.
CORPORA = {
    "esc50": {"sample_rate_hz": 8_000, "seconds": 5.0},
    "urbansound8k": {"sample_rate_hz": 16_000, "seconds": 4.0},
}


def corpus_folders() -> dict[str, str]:
    """The folder of each corpus that was given.

    Raises:
        ValueError: none was.
    """
    given = {"esc50": ESC50_DIR.value, "urbansound8k": URBANSOUND8K_DIR.value}
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
