"""Caveats of corpora, which belong beside every accuracy measured on them."""

import pathlib
from collections.abc import Sequence

from advjax import records
from advjax.records import Path
from advjax.runs import folder as runs
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


def cut_from(ids: Sequence[str]) -> str:
    """Words on the recordings that examples are cut from, by ids RECORDING@SAMPLE."""
    recordings = {str(id).rpartition("@")[0] or str(id) for id in ids}
    return f"cut from {len(recordings)} recordings"


def of_runs(folders: Sequence[pathlib.Path]) -> list[str]:
    """The caveats of runs, each once."""
    described = map(runs.description, folders)
    found = (
        each["environment"].get("caveat")
        or _OF_CORPORA.get(each["settings"].get("corpus", ""))
        for each in described
    )
    return [f"caveat: {caveat}" for caveat in dict.fromkeys(found) if caveat]
