"""Caveats of corpora, which belong beside every accuracy measured on them."""

import pathlib
from collections.abc import Sequence

from advjax import records
from advjax.records import Path
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from data_prep.corpora.librispeech import SAME_SESSION

# Of records and runs that were made before their metadata had a caveat.
_OF_CORPORA = {"librispeech": SAME_SESSION}


def of_records(folder: Path) -> str | None:
    """The caveat of the corpus that records were built from, if it has one."""
    found = records.info(folder)
    return found.metadata.get("caveat") or _OF_CORPORA.get(found.name)


def environment(folder: Path) -> dict[str, str]:
    """The caveat of records for the environment of a run, which is never compared."""
    caveat = of_records(folder)
    return {"caveat": caveat} if caveat else {}


def recordings_of(folders: Sequence[pathlib.Path]) -> list[str]:
    """A sentence on the recordings of attack runs whose examples share them."""
    found = []
    for folder in folders:
        ids = ATTACK_ROWS.read(folder).id
        if len({recording_of(id) for id in ids}) < len(ids):
            found.append(f"The {len(ids)} points are {cut_from(ids)}.")
    return list(dict.fromkeys(found))


def recording_of(id: str) -> str:
    """Recording of an example with an id RECORDING@SAMPLE."""
    return str(id).rpartition("@")[0] or str(id)


def cut_from(ids: Sequence[str]) -> str:
    """Words on the number of recordings that examples are cut from."""
    return f"cut from {len(set(map(recording_of, ids)))} recordings"


def of_runs(folders: Sequence[pathlib.Path]) -> list[str]:
    """The caveats of runs, each once."""
    described = map(runs.description, folders)
    found = (
        each["environment"].get("caveat")
        or _OF_CORPORA.get(each["settings"].get("corpus", ""))
        for each in described
    )
    return [f"caveat: {caveat}" for caveat in dict.fromkeys(found) if caveat]
