"""The results of the finished cells of the study of sound events."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax import catalog
from advjax.metrics.clustered import ClusteredShare, clustered_share
from experiments.lab import cached_rows, cell_files
from experiments.lab.grid import Found
from experiments.studies.sound_events import examples, published, questions
from experiments.studies.sound_events.answers import Answer
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.systems import KINDS, KNOWN_FILE, Known


class Report(NamedTuple):
    """The content of all tables.

    Attributes:
        out: the folder of the study.
        titles: of the attacks.
        runs: by network and attack.
        results: of each network without attack and under each attack.
        answers: of each network that has predicted the others' examples.
        known: predictions of each network on all clips.
        distances: of the classes, if they are measured.
    """

    out: pathlib.Path
    titles: Mapping[str, str]
    runs: Mapping[tuple[str, str], ClipRun]
    results: Mapping[tuple[str, str], Mapping[str, Any]]
    answers: Mapping[str, Sequence[Answer]]
    known: Mapping[str, Sequence[Known]]
    distances: questions.Distances | None

    @property
    def corpus(self) -> Mapping[str, Any]:
        """The corpus, as the first network's results describe it; empty without one."""
        return next((r for (_, work), r in self.results.items() if work == "clean"), {})

    @property
    def beside(self) -> bool:
        """True on the publication's corpus, whose entries then stand beside ours."""
        name = str(self.corpus.get("corpus", ""))
        return catalog.parse(name or "none")[0] == published.CORPUS

    @property
    def recordings(self) -> dict[str, str]:
        """The recording of each clip by its id; none of runs of earlier versions."""
        every = (row for rows in self.known.values() for row in rows)
        return {row.id: row.recording for row in every}

    def of(self, *attacks: str) -> list[ClipRun]:
        """The runs of attacks, each attack on all networks."""
        return [run for a in attacks for run in self.runs.values() if run.attack == a]

    def clusters(self, run: ClipRun) -> list[str]:
        """The recording of each row of a run."""
        known = self.recordings
        clips = [id.partition(">")[0] for id in run.rows.id]
        return [known.get(clip, clip) for clip in clips]

    def success(self, run: ClipRun) -> ClusteredShare:
        """The share of successes of a run, with the recordings of its clips."""
        return clustered_share([np.asarray(run.rows.success)], self.clusters(run))


def read(found: Found, titles: Mapping[str, str]) -> Report:
    """The files of all finished cells."""
    folders = {
        tuple(cell.path.split("/")): folder
        for cell, folder in found.cells.items()
        if "/" in cell.path
    }
    order = [(name, a) for name in KINDS for a in titles if (name, a) in folders]
    runs = {key: examples.read(folders[key]) for key in order}
    files = {name: found.out / "answers" / f"{name}.tsv" for name in KINDS}
    known = {
        name: cached_rows.read(folder / KNOWN_FILE, Known)
        for (name, work), folder in folders.items()
        if work == "clean"
    }
    of_classes = {cell.path: folder for cell, folder in found.cells.items()}
    distances = None
    if folder := of_classes.get("classes"):
        distances = np.asarray(cell_files.results(folder)["distances"])
    return Report(
        found.out,
        titles,
        {key: run for key, run in runs.items() if len(run.rows)},
        {key: cell_files.results(folder) for key, folder in folders.items()},
        {
            name: cached_rows.read(file, Answer)
            for name, file in files.items()
            if file.exists()
        },
        {name: rows for name, rows in known.items() if rows},
        distances,
    )
