"""Parts of an export: the clips that it is compared on, and the file's name."""

import pathlib

import numpy as np
from jaxtyping import Float

from advjax.interop import exporting
from advjax.runtime import foreign_names
from experiments.lab import preflight
from experiments.lab.task import Draft, System


def check(draft: Draft, to: str) -> None:
    """Refuse a draft that cannot be exported; build and write nothing.

    Raises:
        ImportError: a package of the format is missing.
        ValueError: see `preflight.check` and `exporting.check`.
    """
    if draft.given is not None:
        exporting.check(draft.given, to)
    preflight.check(draft)


def clips(system: System, count: int) -> Float[np.ndarray, "clips samples"]:
    """Test clips, spread evenly over the split, as waveforms."""
    waveform = system.representation.stage("waveform")
    return np.stack([point.x for point in system.data.test_points(waveform, count)])


def file_of(home: pathlib.Path, folder: pathlib.Path, to: str) -> pathlib.Path:
    """The default file of an export, named like the classifier.

    Args:
        home: of the program.
        folder: of the classifier, or the name of a network as a path.
        to: the format.
    """
    name = foreign_names.parse(str(folder))
    if name is None:
        stem = folder.name
    elif name.is_file:
        stem = pathlib.Path(name.place).stem
    else:
        stem = name.place.rpartition(".")[2]
    return home / "exports" / f"{stem}{exporting.FORMATS[to].suffix}"
