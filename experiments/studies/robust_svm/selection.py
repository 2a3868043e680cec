"""Settings of the pipeline, chosen on validation clips with every stage in place.

A cell fits all candidates on the folds besides two, and classifies the clips of both. A
test fold's setting is the one with the most right predictions on the clips of all other
folds, by fits that saw neither of the two folds. No clip of a recording that is tested
counts. Candidates share the stages that they have in common.
"""

import dataclasses
import functools
import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from advjax import catalog
from advjax.metrics.clustered import ClusteredShare, clustered_share
from advjax.models import MODELS, SurfSvm
from advjax.reports.tables import Table, percent_text
from advjax.surf_svm import fitting
from advjax.surf_svm.checkpoints import Stages
from advjax.surf_svm.machine import Machine, logits_of_pairs
from advjax.surf_svm.network import Description, resize_to_entries
from experiments.lab import cell_files, trainers
from experiments.lab.cells import Cell
from experiments.lab.grid import Job, Step
from experiments.lab.task import Task

SURF = ("soft", "hard")
"""The encoders of the publication's two versions."""
_SIDES = ("validation", "test")
_AT_ONCE = 50
_RANKED = 100


class Candidates(NamedTuple):
    """Settings to choose among: every combination.

    Attributes:
        fronts: shares of the energy, below 1, and True where images are centred.
        zones: rows and columns of the grid.
        words: sizes of the codebook.
        encoders: of `SURF`.
        costs: of the machine, also of the plain one.
    """

    fronts: Sequence[tuple[float, bool]]
    zones: Sequence[int]
    words: Sequence[int]
    encoders: Sequence[str] = SURF
    costs: Sequence[float] = (0.01, 0.1, 1.0, 10.0)

    @property
    def count(self) -> int:
        """The number of candidates, with those of the plain machine."""
        axes = self.fronts, self.zones, self.words, self.encoders, self.costs
        return math.prod(map(len, axes)) + len(self.costs)


def _text(energy, centred, zones, words, encoder, cost) -> str:
    return (
        f"energy={energy:g},centred={centred},zones={zones},num_words={words},"
        f"encoder={encoder!r},cost={cost:g}"
    )


def _pixel_text(cost: float) -> str:
    return f"encoder='pixels',cost={cost:g}"


def pairs(folds: Sequence[int]) -> list[tuple[int, int]]:
    """Each two folds once, and each fold at least once as the first.

    The folds are on a circle; the second is at most half of the circle ahead.
    """
    found, count = [], len(folds)
    for ahead in range(1, count // 2 + 1):
        both = [(folds[i], folds[(i + ahead) % count]) for i in range(count)]
        found += both[: count // 2] if 2 * ahead == count else both
    return found


def path(corpus: str, pair: tuple[int, int]) -> str:
    """The cell that fits all candidates without two folds."""
    return f"selection/{corpus}/{pair[0]}-{pair[1]}"


def cells(corpus: str, folds: Sequence[int]) -> list[Cell]:
    """A cell for each two folds."""
    return [
        Cell(path(corpus, each), (("corpus", corpus), ("pair", each)))
        for each in pairs(folds)
    ]


def steps(base: str, pixels: str, candidates: Candidates) -> dict[str, Step]:
    """The steps of a cell: one for each front, and the plain machine's.

    Args:
        base: the pipeline with the options that are not chosen.
        pixels: the plain machine.
        candidates: the settings.
    """
    found: dict[str, Step] = {"pixels": ValidatePixels(pixels, candidates.costs)}
    for front in candidates.fronts:
        energy, centred = front
        name = f"energy-{energy:g}{'-centred' * centred}"
        found[name] = Validate(base, front, candidates)
    return found


@dataclasses.dataclass(frozen=True)
class Validate(Step):
    """Predictions of the candidates behind one front on clips of two folds.

    Attributes:
        base: the pipeline with the options that are not chosen.
        front: share of the energy, and True where images are centred.
        candidates: the settings.
    """

    base: str
    front: tuple[float, bool]
    candidates: Candidates

    def run(self, job: Job) -> Mapping[str, Any]:
        """Fit every candidate; return the right predictions of each, and the rank."""
        seen, recipe = _Clips.of(job.task), _recipe(job.task)
        seed, given = job.task.seed, self.candidates
        energy, centred = self.front
        options = {"energy": energy, "centred": centred}
        module = _module(self.base, seen, **options)
        stages = Stages(None, module, None, recipe, seen.x, seen.y, seed)
        params = fitting.fit_front(module, seen.x[seen.training], recipe, seed, stages)
        images, right = fitting.purify(module, params, seen.x), {}
        for zones in given.zones:
            by = module.clone(zones=zones).description
            points = _describe(by, images)
            sampled = _sample(points, seen, recipe, seed)
            for words in given.words:
                codebook = fitting.fit_codebook(sampled, words, recipe, seed)
                for encoder in given.encoders:
                    network = module.clone(
                        zones=zones, num_words=words, encoder=encoder
                    )
                    encoded = _encode(network.description, points, codebook)
                    for cost in given.costs:
                        text = _text(*self.front, zones, words, encoder, cost)
                        machine = network.clone(cost=cost)
                        right[text] = seen.right(machine, encoded, recipe)
        rank = _median_rank(module, seen.x[seen.training][:_RANKED])
        return {"recordings": seen.recordings, "right": right, "rank": rank}


def _median_rank(module: SurfSvm, images: np.ndarray) -> int:
    """The median rank of images behind the reduction."""
    reduced = np.asarray(jax.jit(module.front.reduce_each)(images), np.float64)
    values = np.linalg.svd(reduced, compute_uv=False)
    # Rounding in float32 leaves small values instead of zeros.
    return int(np.median((values > 1e-4 * values[:, :1]).sum(axis=1)))


@dataclasses.dataclass(frozen=True)
class ValidatePixels(Step):
    """Predictions of the plain machine on clips of two folds, for each cost.

    Attributes:
        model: the machine on pixels.
        costs: of the machine.
    """

    model: str
    costs: Sequence[float]

    def run(self, job: Job) -> Mapping[str, Any]:
        """Fit the machine with every cost; return the right predictions."""
        seen, recipe = _Clips.of(job.task), _recipe(job.task)
        network = _module(self.model, seen)
        encoded = np.asarray(resize_to_entries(jnp.asarray(seen.x), network.num_words))
        right = {
            _pixel_text(cost): seen.right(network.clone(cost=cost), encoded, recipe)
            for cost in self.costs
        }
        return {"recordings": seen.recordings, "right": right}


def _recipe(task: Task) -> fitting.SvmRecipe:
    recipe = task.recipe
    return fitting.SvmRecipe(num_steps=recipe.num_steps, batch_size=recipe.batch_size)


def _module(text: str, seen: "_Clips", **options: Any) -> SurfSvm:
    return catalog.pick(text, MODELS, num_classes=seen.num_classes).clone(**options)


class _Clips(NamedTuple):
    """Images to train on, and then those of the two folds.

    Attributes:
        x: all images.
        y: the classes of the training images.
        sides: the classes of the images of each fold.
        recordings: of the clips of each fold.
        num_classes: of the corpus.
    """

    x: Float[np.ndarray, "examples height width"]
    y: np.ndarray
    sides: dict[str, np.ndarray]
    recordings: dict[str, list[str]]
    num_classes: int

    @classmethod
    def of(cls, task: Task) -> "_Clips":
        """The clips of a task, its records built if need be."""
        draft = task.draft()
        records, stage = draft.source.resolve(), draft.representation
        x, y = {}, {}
        for split in ("train", *_SIDES):
            part = records.dataset(split, stage.name)
            x[split] = trainers.images_of(stage, part)[..., 0]
            y[split] = np.asarray(part.y)
        shown = ~fitting.is_flat(x["train"])
        x["train"], y["train"] = x["train"][shown], y["train"][shown]
        recordings = {}
        for split in _SIDES:
            source = records.split(split)
            recordings[split] = [source[at]["speaker"] for at in range(len(source))]
        sides = {split: y[split] for split in _SIDES}
        every = np.concatenate([*x.values()])
        return cls(every, y["train"], sides, recordings, len(records.labels))

    @property
    def training(self) -> slice:
        """The training images."""
        return slice(0, len(self.y))

    def right(
        self,
        network: SurfSvm,
        encoded: Float[np.ndarray, "examples words"],
        recipe: fitting.SvmRecipe,
    ) -> dict[str, str]:
        """Fit a machine; return "1" for each clip that it classifies right, else "0".

        Args:
            network: with the machine's options.
            encoded: the machine's inputs of all images.
            recipe: of the fit.
        """
        params = fitting.fit_machine(encoded[self.training], self.y, network, recipe)
        machine = Machine(*(params[name] for name in Machine._fields))
        x = (encoded[len(self.y) :] - params["mean"]) / params["deviation"]
        kernel = network.kernel
        # The number of support vectors differs: NumPy has nothing to compile.
        values = kernel.gamma * x @ machine.support.T + kernel.coef0
        decisions = values**kernel.degree @ machine.coefficients + machine.intercept
        logits = np.asarray(_logits(np.float32(decisions), self.num_classes))
        top = logits.argmax(axis=1)
        found, start = {}, 0
        for split, y in self.sides.items():
            hits = top[start : start + len(y)] == y
            found[split], start = (
                "".join("01"[int(hit)] for hit in hits),
                start + len(y),
            )
        return found


@functools.partial(jax.jit, static_argnums=1)
def _logits(decisions, num_classes: int):
    return jax.vmap(functools.partial(logits_of_pairs, num_classes=num_classes))(
        decisions
    )


class _Points(NamedTuple):
    """The descriptors of all images, and which of them are present."""

    descriptors: Float[np.ndarray, "examples points 64"]
    present: Bool[np.ndarray, "examples points"]


def _describe(by: Description, images: np.ndarray) -> _Points:
    run = fitting.stage_program(functools.partial(jax.lax.map, by.describe))
    return _Points(*_apply(run, (images,), fitting.AT_ONCE))


def _encode(by: Description, points: _Points, words: np.ndarray) -> np.ndarray:
    run = _encode_each(by)
    return _apply(lambda *part: run(*part, words), points, _AT_ONCE)


@functools.lru_cache(maxsize=4)
def _encode_each(by: Description):
    return jax.jit(jax.vmap(by.encode, in_axes=(0, 0, None)))


def _apply(run, arrays, at_once: int):
    """Apply a program to all rows, so many at once; the last ones are repeated."""
    total, parts = len(arrays[0]), []
    for start in range(0, total, at_once):
        places = np.minimum(np.arange(start, start + at_once), total - 1)
        found = run(*(array[places] for array in arrays))
        parts.append(jax.tree.map(np.asarray, found))
    return jax.tree.map(lambda *each: np.concatenate(each)[:total], *parts)


def _sample(points: _Points, seen: _Clips, recipe, seed: int) -> np.ndarray:
    """The descriptors that the fit of these training images takes for its codebook."""
    return fitting.descriptor_sample(
        points.descriptors[seen.training],
        points.present[seen.training],
        room=-(-recipe.num_descriptors // len(seen.y)),
        generator=np.random.default_rng(seed),
    )


class Validated(NamedTuple):
    """The validation of the candidates for one test fold.

    Attributes:
        right: of each candidate, by its options, True for each clip that it gets right.
        recordings: of the clips.
    """

    right: Mapping[str, Bool[np.ndarray, "clips"]]
    recordings: list[str]

    def share(self, options: str) -> ClusteredShare:
        """The right predictions of a candidate."""
        return clustered_share([self.right[options]], self.recordings)

    def best(self, encoders: Sequence[str]) -> str | None:
        """The candidate of these encoders with the best accuracy, the first of equals.

        Returns:
            Its options; None without a candidate.
        """
        known = {
            options: hits.mean()
            for options, hits in self.right.items()
            if encoder(options) in encoders
        }
        return max(known, key=known.__getitem__) if known else None


def encoder(options: str) -> str:
    """The encoder of a candidate."""
    return next(e for e in (*SURF, "pixels") if f"encoder={e!r}" in options)


def validated(
    out: pathlib.Path, corpus: str, fold: int, folds: Sequence[int]
) -> Validated | None:
    """The validation for a test fold; None before its cells are finished.

    Args:
        out: the folder of the study.
        corpus: of the clips.
        fold: to test on.
        folds: all folds.
    """
    mine = tuple(pair for pair in pairs(folds) if fold in pair)
    where = [out / "cells" / path(corpus, pair) for pair in mine]
    changed = tuple(map(cell_files.changed_at, where))
    return _validated(out, corpus, fold, mine, changed)


@functools.lru_cache(maxsize=64)
def _validated(out, corpus, fold, mine, changed) -> Validated | None:
    del changed  # a newer file is another key
    found = {pair: _Fitted.read(out, corpus, pair) for pair in mine}
    if None in found.values():
        return None
    tested = {
        recording
        for (first, _), each in found.items()
        if first == fold
        for recording in each.recordings["test"]
    }
    recordings, right = [], {}
    for (first, _), each in found.items():
        side = "validation" if first == fold else "test"
        kept = np.array([name not in tested for name in each.recordings[side]])
        recordings += list(itertools.compress(each.recordings[side], kept))
        for text, hits in each.right.items():
            right.setdefault(text, []).append(hits[side][kept])
    whole = {
        text: np.concatenate(parts)
        for text, parts in right.items()
        if len(parts) == len(found)
    }
    return Validated(whole, recordings)


class _Fitted(NamedTuple):
    """A finished cell: recordings of the clips of each side, and right predictions."""

    recordings: dict[str, list[str]]
    right: dict[str, dict[str, np.ndarray]]

    @classmethod
    def read(
        cls, out: pathlib.Path, corpus: str, pair: tuple[int, int]
    ) -> "_Fitted | None":
        """The cell of two folds; None before its first step."""
        kept = cell_files.read(out / "cells" / path(corpus, pair))["steps"]
        if not kept:
            return None
        right, recordings = {}, {}
        for step in kept.values():
            recordings = step["result"]["recordings"]
            for text, hits in step["result"]["right"].items():
                right[text] = {
                    side: np.array([bit == "1" for bit in bits])
                    for side, bits in hits.items()
                }
        return cls(recordings, right)


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen setting of a classifier on one fold.

    Attributes:
        corpus: of the clips.
        fold: to test on.
        folds: all folds.
        encoders: whose candidates it is chosen from.
        others: take the best of the encoders that the best candidate does not have.
        only: options of the setting that are taken; empty for all.
        changes: options that replace the setting's, as text, such as a missing stage.
        num_candidates: that have to be finished.
    """

    corpus: str
    fold: int
    folds: tuple[int, ...]
    encoders: tuple[str, ...]
    others: bool = False
    only: tuple[str, ...] = ()
    changes: tuple[tuple[str, Any], ...] = ()
    num_candidates: int = 1

    def setting(self, out: pathlib.Path) -> str | None:
        """The options of the chosen candidate; None before all are finished."""
        found = validated(out, self.corpus, self.fold, self.folds)
        if found is None or len(found.right) < self.num_candidates:
            return None
        best = found.best(self.encoders)
        if self.others and best is not None:
            rest = [each for each in self.encoders if each != encoder(best)]
            return found.best(rest)
        return best

    def task(self, out: pathlib.Path, task: Task) -> Task:
        """The task with the chosen setting.

        Raises:
            ValueError: the candidates are not finished.
        """
        setting = self.setting(out)
        if setting is None:
            raise ValueError(
                f"the setting for {self.corpus}, fold {self.fold} is not chosen yet: "
                f"run the cells selection/{self.corpus}/* first"
            )
        return dataclasses.replace(task, model=self.model(task.model, setting))

    def model(self, text: str, setting: str) -> str:
        """The model of a text with the options of a candidate."""
        name, options = catalog.parse(text)
        _, chosen = catalog.parse(f"candidate({setting})")
        taken = {k: v for k, v in chosen.items() if k in (self.only or chosen)}
        every = {**options, **taken, **dict(self.changes)}
        return f"{name}({','.join(f'{key}={value!r}' for key, value in every.items())})"


@dataclasses.dataclass(frozen=True)
class Chosen(Step):
    """A step on the classifier with the setting that was chosen for it.

    Attributes:
        step: the step.
        choice: of the setting.
    """

    step: Step
    choice: Choice

    def given(self, job: Job) -> Any:
        """The chosen setting and what the step is given; others run the step again."""
        return [self.choice.setting(job.out), self.step.given(job)]

    def run(self, job: Job) -> Mapping[str, Any] | None:
        """Run the step."""
        return self.step.run(job.on(self.choice.task(job.out, job.task)))


FAMILIES = {
    "pipeline": (SURF, False),
    "pipeline, other encoder": (SURF, True),
    "plain SVM": (("pixels",), False),
}


def chosen_table(out: pathlib.Path, corpus: str, folds: Sequence[int]) -> Table:
    """A line for each fold and kind of classifier: its setting, on validation clips."""
    rows = []
    for fold in folds:
        found = validated(out, corpus, fold, folds)
        for title, (encoders, others) in FAMILIES.items():
            choice = Choice(corpus, fold, tuple(folds), encoders, others)
            setting = choice.setting(out)
            if found and setting:
                clips = f"{len(found.recordings)}"
                accuracy = percent_text(found.share(setting))
                rows.append([f"{fold}", title, setting, clips, accuracy])
    notes = [
        "chosen: most validation clips right, with every stage of the publication in "
        "place; clips of all other folds, classified by fits on neither fold; no clip "
        "of the test fold or of its recordings",
        "the best of many candidates looks better than it is: the tables below have "
        "test clips",
    ]
    header = ["test fold", "classifier", "setting", "clips", "validation accuracy %"]
    return Table(header, rows, notes)


def options_table(out: pathlib.Path, corpus: str, folds: Sequence[int]) -> Table:
    """A line for each value of an option: its best candidate over all folds."""
    every = [_Fitted.read(out, corpus, pair) for pair in pairs(folds)]
    if None in every or not every:
        return Table([], [])
    shares = {}
    for text in every[0].right:
        parts = [
            (each.right[text][side], each.recordings[side])
            for each in every
            if text in each.right
            for side in _SIDES
        ]
        hits, names = zip(*parts, strict=True)
        shares[text] = clustered_share([np.concatenate(hits)], sum(names, []))
    rows = list(_best_of_each_value(shares))
    note = (
        "the candidate with the best accuracy on all clips of all fits, of those with "
        "this value; no choice was made by this table"
    )
    return Table(["option", "value", "best accuracy %", "of"], rows, [note])


def _best_of_each_value(shares: Mapping[str, ClusteredShare]) -> Iterator[list[str]]:
    parsed = {text: catalog.parse(f"candidate({text})")[1] for text in shares}
    surf = {t: options for t, options in parsed.items() if "energy" in options}
    if not surf:
        return
    for option in next(iter(surf.values())):
        for value in dict.fromkeys(options[option] for options in surf.values()):
            texts = [t for t, options in surf.items() if options[option] == value]
            best = max(texts, key=lambda text: shares[text].value)
            yield [option, f"{value}", percent_text(shares[best]), best]


def ranks_table(out: pathlib.Path, corpus: str, folds: Sequence[int]) -> Table:
    """A line for each front: the rank that it leaves an image."""
    found: dict[str, list[int]] = {}
    for pair in pairs(folds):
        steps = cell_files.read(out / "cells" / path(corpus, pair))["steps"]
        for name, step in steps.items():
            if "rank" in step["result"]:
                found.setdefault(name, []).append(step["result"]["rank"])
    rows = [[name, f"{np.median(each):g}"] for name, each in found.items()]
    note = (
        "energy: share of the squared singular values that is kept, of the enhanced "
        "image or, centred, of the image without its mean; the mean, if there is one, "
        "is another rank"
    )
    return Table(["front", "median rank of a training image"], rows, [note])
