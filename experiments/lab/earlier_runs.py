"""Earlier runs and classifiers as the input of further programs."""

import contextlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from advjax import catalog, checkpoint
from advjax.defences import DEFENCES
from advjax.runs import folder as runs
from advjax.runs.descriptions import RUN_FILE, kind_of
from advjax.runtime import foreign_names
from advjax.runtime.text import printable
from experiments.lab import defences, folder_names
from experiments.lab.data import records_digest
from experiments.lab.task import Draft, Task

_FIELDS = {
    "classifier": "classifier_folder",
    "records": "records_folder",
    "rep": "at",
    "sigma": "sigma",
    "noise": "noise",
    "seed": "seed",
    "precision": "precision",
    "engine": "engine",
}
"""Fields of a task by the flags that set them."""
_COPIED = (
    *("num_points", "num_selection", "num_estimation", "alpha", "bound"),
    *("tile", "precision", "engine", "seed", "defence", "corpus", "radii"),
)
"""Settings of runs that have the name of a flag."""


class EarlierRun(NamedTuple):
    """A run of certify or attack, or a trained classifier, that --run names.

    Attributes:
        folder: of the run or the classifier.
        kind: "certify", "attack" or "train".
        settings: of the run; of a classifier, the notes on its training.
        values: of flags, by name; a value that the folder lacks is missing.
    """

    folder: pathlib.Path
    kind: str
    settings: Mapping[str, Any]
    values: Mapping[str, Any]

    @property
    def flag(self) -> str:
        """The flag that names it, for messages."""
        return f"--run={printable(str(self.folder))}"

    def check_flags(self, given: Mapping[str, Any]) -> None:
        """Refuse flags that contradict the run.

        Args:
            given: values of flags, by name.

        Raises:
            ValueError: a flag with another value than the run has, or one of a training
                that the run is past.
        """
        for name, value in given.items():
            known = self.values.get(name)
            if name in ("classifier", "records"):
                if known is None or os.path.realpath(value) == os.path.realpath(known):
                    continue
            elif name == "defence" and known is not None:
                sigma, noise = (self.values.get(each) for each in ("sigma", "noise"))
                value = defences.full_text(value, sigma=sigma, noise=noise)
            if known is None:
                raise ValueError(
                    f"--{name} has no effect beside {self.flag}, which decides it: "
                    f"leave --{name} out"
                )
            if value != known:
                raise ValueError(
                    f"--{name}={value} contradicts {self.flag}, which has {known}: "
                    f"leave --{name} out"
                )

    def task(self, home: pathlib.Path, changes: Mapping[str, Any]) -> Task:
        """The task of the same classifier and records.

        Args:
            home: where further runs go.
            changes: other values of flags, by name. Another stage leaves the noise of
                the run behind, whose standard deviation has the units of its stage.

        Raises:
            ValueError: the folder does not say where its classifier or records are.
        """
        values = dict(self.values)
        if changes.get("rep", values["rep"]) != values["rep"]:
            values = {k: v for k, v in values.items() if k not in ("sigma", "noise")}
        values |= changes
        if self.kind == "train" and "records" not in values:
            values |= _found_records(self.folder, self.settings.get("records"))
        for name in ("classifier", "records"):
            if name not in values:
                raise ValueError(
                    f"{self.flag} does not say where its {name} is: give "
                    f"--{name}=FOLDER too"
                )
        fields = {field: values[k] for k, field in _FIELDS.items() if k in values}
        return Task(home=home, **fields)

    def check(self, draft: Draft) -> None:
        """Refuse a classifier or records that are not those of the run.

        Raises:
            ValueError: another digest than the run has.
        """
        found = {
            "classifier": (draft.task.classifier_folder, draft.given.digest()),
            "records": (draft.source.folder, records_digest(draft.source.folder)),
        }
        for name, (folder, digest) in found.items():
            if self.settings.get(name, digest) != digest:
                raise ValueError(
                    f"the {name} in {printable(str(folder))} is not that of "
                    f"{self.flag}: its digest is {digest}, not {self.settings[name]}"
                )


def read(folder: pathlib.Path) -> EarlierRun:
    """The run or the classifier in a folder.

    Raises:
        ValueError: the folder holds none, or a damaged one.
        FileNotFoundError: the folder, its classifier or its records are missing.
    """
    folder = pathlib.Path(folder)
    if os.path.lexists(folder / RUN_FILE):
        return _run(folder)
    try:
        written = checkpoint.config(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"--run={printable(str(folder))} holds no run and no classifier: give the "
            "folder that certify, attack or train printed"
        ) from error
    notes = written["notes"]
    values = {
        "classifier": str(folder),
        "features": written["representation"]["name"],
        "rep": notes.get("at", written["representation"]["name"]),
        **_of_training(notes),
    }
    return EarlierRun(folder, "train", notes, values)


def part(folder: pathlib.Path, what: str) -> pathlib.Path | None:
    """The folder of a run's classifier or records; None where `run.json` has none.

    Args:
        folder: of the run.
        what: "classifier" or "records".

    Raises:
        FileNotFoundError: it is no longer there.
    """
    origin = runs.description(folder)["environment"]
    text = origin.get(f"{what}_folder") or origin.get(f"{what}_dir")
    if not isinstance(text, str):
        return None
    if name := foreign_names.parse(text):
        if name.is_file and not os.path.isfile(name.place):
            raise FileNotFoundError(
                f"the network of the run {printable(str(folder))} is gone: there is no "
                f"file {printable(name.place)}"
            )
        return pathlib.Path(text)
    return folder_names.folder_from(text, run=folder, what=what)


def _run(folder: pathlib.Path) -> EarlierRun:
    described = runs.description(folder)
    settings, origin = described["settings"], described["environment"]
    kind = kind_of(described)
    if kind not in ("certify", "attack"):
        raise ValueError(
            f"--run={printable(str(folder))} is a run of {printable(str(kind))}: give "
            "one of certify or attack, or a classifier's folder"
        )
    values = _of_training(settings) | {
        name: settings[name] for name in _COPIED if name in settings
    }
    values["rep"] = settings.get("noise_enters_at") or settings.get(
        "perturbation_enters_at"
    )
    values["features"] = settings["representation"]["name"]
    if kind == "certify":
        law = settings["noise"]
        values |= {"sigma": law["sigma"], "noise": law["law"]}
    more = {
        "classifier": part(folder, "classifier"),
        "records": part(folder, "records"),
        "corpus": origin.get("corpus_options"),
        "corpus_dir": origin.get("corpus_dir"),
        "model": origin.get("model"),
    }
    values |= {name: str(value) for name, value in more.items() if value is not None}
    return EarlierRun(folder, kind, settings, values)


def _of_training(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The values of flags that a training was given, as far as its notes have them."""
    found = {name: notes[name] for name in ("defence", "seed") if name in notes}
    recipe = notes.get("recipe", {})
    found |= {k: recipe[k] for k in ("num_steps", "batch_size") if k in recipe}
    defence = found.get("defence", "")
    if defence.partition("(")[0] in DEFENCES:
        _, options = catalog.parse(defence)
        if "sigma" in options:
            law = options.get("noise", "gaussian")
            found |= {"sigma": options["sigma"], "noise": law}
    return found


def _found_records(folder: pathlib.Path, digest: str | None) -> dict[str, str]:
    """The records that a classifier was trained on, among those of its home."""
    among = (folder.absolute().parent.parent / "records").glob("[!.]*")
    # The name of a classifier begins with that of its records.
    for each in sorted(among, key=lambda each: not folder.name.startswith(each.name)):
        with contextlib.suppress(OSError, ValueError):
            if records_digest(each) == digest:
                return {"records": str(each)}
    return {}
