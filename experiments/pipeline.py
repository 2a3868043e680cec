"""From a corpus to a certified run, each step made when missing and reused if not.

Every folder in `home` bears a short digest of the settings that decide its content, so
equal settings find it again and other settings get another one.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from advjax import catalog, checkpoint, evaluation, records, smoothing
from advjax.classifier import Classifier
from advjax.defences import DEFENCES
from advjax.models import MODELS
from advjax.progress import Progress, duration
from advjax.reports import rows as row_files
from advjax.reports import runs, tables
from advjax.representations import REPRESENTATIONS, Representation, definition
from advjax.training import Dataset, Recipe, fit


class Size(NamedTuple):
    """What suits a machine: a demonstration on a CPU, the publication on the rest."""

    model: str
    crops: Mapping[str, int]
    recipe: Recipe
    num_selection: int
    num_estimation: int
    num_points: int


CPU = Size(
    model="rescnn(width=8, dropout=0.2)",
    crops={"train": 150, "validation": 15, "test": 20},
    recipe=Recipe(
        num_steps=150,
        batch_size=64,
        learning_rate=2e-3,
        schedule="cosine",
        validate_every=30,
        stop_patience=0,
    ),
    num_selection=100,
    num_estimation=1000,
    num_points=30,
)
# Crops, epochs, batch, n0, n and points of O'Reilly and deep-speaker; 6,000 crops in
# batches of 96 are 62 steps an epoch.
PUBLICATION = Size(
    model="rescnn(width=64)",
    crops={"train": 600, "validation": 60, "test": 100},
    recipe=Recipe(num_steps=62_000, batch_size=96, validate_every=62),
    num_selection=500,
    num_estimation=10_000,
    num_points=300,
)


def size_of(backend: str) -> Size:
    """The default size on a JAX backend."""
    return CPU if backend == "cpu" else PUBLICATION


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A classifier and the data it is trained and evaluated on, as flags say it.

    `records_folder` and `classifier_folder` are folders that must exist; without them,
    records are built and a classifier is trained in `home`.
    """

    home: pathlib.Path
    corpus: str = "voices"
    corpus_dir: str | None = None
    on_error: str = "stop"
    features: str = "mfbe"
    at: str = "mfbe"
    sigma: float = 0.25
    defence: str = "gaussian"
    model: str = CPU.model
    crops: Mapping[str, int] = dataclasses.field(default_factory=lambda: CPU.crops)
    recipe: Recipe = CPU.recipe
    seed: int = 0
    records_folder: str | None = None
    classifier_folder: str | None = None
    trained_at: str | None = None
    """The stage that training was told, where it is not `at`: a network that never saw
    noise serves every stage, and is found under one name."""
    front_end: Representation | None = None
    """Instead of `features`, for chains that text cannot name."""

    @functools.cached_property
    def representation(self) -> Representation:
        """What the network takes in; a given classifier decides it."""
        if self.classifier_folder is not None:
            return self.classifier.representation
        return self.front_end or catalog.pick(self.features, REPRESENTATIONS)

    @functools.cached_property
    def stage(self) -> Representation:
        """The stage of the chain at which noise enters."""
        return self.representation.stage(self.at)

    @functools.cached_property
    def noise(self) -> smoothing.Noise:
        """The smoothing law."""
        return smoothing.gaussian(self.sigma)

    @functools.cached_property
    def defence_text(self) -> str:
        """The defence with its sigma spelled out."""
        name, options = catalog.parse(self.defence)
        catalog.pick(self.defence, DEFENCES, sigma=self.sigma)
        if name == "gaussian":
            return f"gaussian(sigma={options.get('sigma', self.sigma)!r})"
        return self.defence

    @functools.cached_property
    def records(self) -> pathlib.Path:
        """The folder of records, built if need be and checked against the code."""
        if self.records_folder is not None:
            folder = pathlib.Path(self.records_folder)
        else:
            folder = self._build_records()
        records.info(folder, expect=self.representation)
        return folder

    def _build_records(self) -> pathlib.Path:
        from data_prep import build

        corpus, options = build.pick_corpus(
            self.corpus, self.corpus_dir or "", self.representation.sample_rate_hz
        )
        settings = {
            "corpus": corpus.name,
            "options": options,
            "labels": corpus.labels,
            "utterances": {s: len(corpus.utterances(s)) for s in self.crops},
            "crops": dict(self.crops),
            "representation": definition(self.representation),
            "on_error": self.on_error,
        }
        folder = self.home / "records" / _named(corpus.name, settings)
        if folder.exists():
            say(f"records     {folder} (found)")
            return folder
        say(
            f"records     {folder}: cutting {self.crops['train']} training crops of "
            f"each of {len(corpus.labels)} classes of {self.corpus}"
        )
        build.build(
            corpus,
            self.representation,
            folder,
            crops_per_class=self.crops,
            on_error=self.on_error,
            options=options,
        )
        return folder

    def dataset(self, split: str, at: str) -> Dataset:
        """One split in memory, as training at the stage `at` wants it."""
        field = "features" if at == self.representation.name else "audio"
        loaded = records.load(
            records.read(self.records, split), fields=(field, "label")
        )
        return Dataset(loaded[field], loaded["label"])

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The classifier, trained if need be."""
        if self.classifier_folder is not None:
            return checkpoint.load(self.classifier_folder)
        return self._trained()

    def _trained(self) -> Classifier:
        self.stage  # noqa: B018  a wrong --rep fails before any work
        at = self.trained_at or self.at
        gradients = catalog.pick(self.defence, DEFENCES, sigma=self.sigma)
        name, options = catalog.parse(self.model)
        labels = records.info(self.records).labels
        module = catalog.pick(self.model, MODELS, num_classes=len(labels))
        settings = {
            "records": records_digest(self.records),
            "at": at,
            "defence": self.defence_text,
            "model": checkpoint.describe_module(module),
            "recipe": dataclasses.asdict(self.recipe),
            "seed": self.seed,
        }
        width = f"-w{options['width']}" if "width" in options else ""
        title = f"{self.records.name}-{self.defence_text}@{at}-{name}{width}"
        folder = self.home / "classifiers" / _named(title, settings)
        if folder.exists():
            say(f"classifier  {folder} (found)")
            return checkpoint.load(folder)
        say(
            f"classifier  {folder}: training {self.model}, {self.defence_text} at "
            f"{at}, up to {self.recipe.num_steps} steps of {self.recipe.batch_size}"
        )
        workdir = folder.with_name(folder.name + ".training")
        classifier = fit(
            module,
            self.representation,
            self.dataset("train", at),
            self.dataset("validation", at),
            jax.random.key(self.seed),
            labels=tuple(labels),
            at=at,
            gradients=gradients,
            recipe=self.recipe,
            seed=self.seed,
            workdir=workdir,
            settings=json.dumps(settings, sort_keys=True),
        )
        checkpoint.save(folder, classifier, **settings)
        shutil.rmtree(workdir, ignore_errors=True)
        return classifier

    def test_points(self, num_points: int | None) -> list[evaluation.Point]:
        """Test records spread evenly over the split, at the stage `at`.

        Raises:
            ValueError: more points than test records, or labels that the classifier
                does not have.
        """
        source = records.read(self.records, "test")
        labels = tuple(records.info(self.records).labels)
        if labels != self.classifier.labels:
            raise ValueError(
                f"the classifier's classes ({_few(self.classifier.labels)}) are not "
                f"those of the records ({_few(labels)}): give records of its corpus"
            )
        count = len(source) if num_points is None else num_points
        if not 1 <= count <= len(source):
            raise ValueError(
                f"num_points={count}: there are {len(source)} test records"
            )
        points = []
        for index in np.linspace(0, len(source) - 1, count).round().astype(int):
            example = source[int(index)]
            x = evaluation.stage_features(self.stage, example["audio"])
            points.append(
                evaluation.Point(int(index), example["id"], x, example["label"])
            )
        return points


class Accuracy(NamedTuple):
    """Of a task's classifier on all held-out crops."""

    clean: float
    noisy: float
    """Under one draw of the task's noise on each crop."""


def held_out_accuracy(task: Task) -> Accuracy:
    """How often the classifier alone, without smoothing, is right."""
    points = task.test_points(None)
    x = np.stack([point.x for point in points])
    y = np.asarray([point.label for point in points])
    measure = functools.partial(
        evaluation.clean_accuracy, task.classifier, x, y, at=task.at
    )
    return Accuracy(measure(), measure(noise=task.noise, key=jax.random.key(task.seed)))


class Certification(NamedTuple):
    """How to certify."""

    num_selection: int
    num_estimation: int
    alpha: float = 1e-3
    radii: Sequence[float] = tables.PUBLICATION_RADII


def certify(
    task: Task,
    request: Certification,
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
) -> pathlib.Path:
    """The folder of a finished run; what an earlier start certified is kept.

    Raises:
        ValueError: a request that can only abstain, or a folder with other settings.
    """
    planned = smoothing.plan(
        task.noise,
        num_selection=request.num_selection,
        num_estimation=request.num_estimation,
        alpha=request.alpha,
        radii=request.radii,
    )
    task.stage  # noqa: B018  a wrong --rep fails before any work
    task.records  # noqa: B018  in the order of a newcomer's understanding
    classifier = task.classifier
    points = task.test_points(num_points)
    settings = {
        "corpus": records.info(task.records).name,
        "records": records_digest(task.records),
        "classifier": classifier.digest(),
        "noise_enters_at": task.at,
        "representation": definition(task.representation),
        "noise": {"law": "gaussian", "sigma": task.sigma, "norm": task.noise.norm},
        "gain_policy": "none: the clip is stored, not scaled before or after noise",
        "clip_policy": "none: noisy inputs are not clipped to the range of the stage",
        "num_selection": request.num_selection,
        "num_estimation": request.num_estimation,
        "alpha": request.alpha,
        "bound": "clopper_pearson",
        "tile": smoothing.default_tile(),
        "num_points": len(points),
        "seed": task.seed,
        "defence": task.defence_text if task.classifier_folder is None else "given",
        "cap": planned.max_radius,
    }
    if workdir is None:
        title = f"{task.records.name}-{task.at}-sigma{task.sigma:g}"
        workdir = task.home / "certify" / _named(title, settings)
    logits_fn = classifier.logits_fn(task.at)
    key = jax.random.key(task.seed)
    with runs.open_run(workdir, settings=settings, environment=environment) as run:
        left = sum(point.id not in run.done for point in points)
        say(f"run         {workdir}: {left} of {len(points)} points to certify")
        for line in _plan_lines(planned, request, task):
            say(f"            {line}")
        if left:
            _say_time(logits_fn, points[0], task, request, left)
        correct, seen = 0, 0
        with Progress(
            "certify", total=len(points), unit="points", done=len(points) - left
        ) as line:
            for row in evaluation.certify_points(
                logits_fn,
                points,
                key,
                noise=task.noise,
                num_selection=request.num_selection,
                num_estimation=request.num_estimation,
                alpha=request.alpha,
                done=run.done,
            ):
                run.append(row)
                correct, seen = correct + row.correct, seen + 1
                line.advance(note=f"right and certified {correct / seen:.2f}")
    return workdir


def _plan_lines(planned: smoothing.Plan, request: Certification, task: Task):
    yield (
        f"noise {task.sigma:g} at {task.at}, n0={request.num_selection}, "
        f"n={request.num_estimation}, alpha={request.alpha:g}: radii up to "
        f"{planned.max_radius:.3f}; {planned.votes_needed} equal votes or it abstains"
    )
    beyond = [r for r in planned.radii if r.votes_needed is None]
    if beyond:
        needs = ", ".join(f"{r.radius:g} ({_least_n(r)})" for r in beyond)
        yield f"out of reach: radius {needs}"


def _least_n(planned: smoothing.PlannedRadius) -> str:
    most = planned.num_estimation
    return "no n would do" if most is None or most > 10**9 else f"n >= {most:,}"


def _say_time(logits_fn, point, task: Task, request: Certification, left: int) -> None:
    """Times a few tiles of the very program that will run; compiling it is no waste."""
    tile = smoothing.default_tile()
    votes = functools.partial(
        smoothing.count_votes, logits_fn, point.x, jax.random.key(0), noise=task.noise,
        tile=tile,
    )  # fmt: skip
    votes(num_samples=tile)
    copies = 5 * tile
    start = time.perf_counter()
    votes(num_samples=copies)
    rate = copies / (time.perf_counter() - start)
    total = left * (request.num_selection + request.num_estimation)
    say(f"            {rate:,.0f} votes/s here: about {duration(total / rate)}")


def label_of(folder: pathlib.Path) -> str:
    """A run's name in tables: corpus, stage, sigma and defence."""
    settings = runs.description(folder)["settings"]
    corpus = settings["corpus"]
    sigma = f"σ={settings['noise']['sigma']:g}"
    # A network trained on another noise than the certificate's says on which.
    defence = settings["defence"].replace(f"(sigma={settings['noise']['sigma']!r})", "")
    return f"{corpus} {settings['noise_enters_at']} {sigma} {defence}"


def read_run(folder: pathlib.Path, label: str | None = None) -> row_files.Run:
    """A finished or running run for tables and plots."""
    cap = runs.description(folder)["settings"]["cap"]
    return row_files.Run(label or label_of(folder), row_files.read(folder), cap)


def report(
    folders: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    radii: Sequence[float] = tables.PUBLICATION_RADII,
    alpha: float = 1e-3,
) -> str:
    """The text of a report; writes `report.md` and `curve.png` into `out`."""
    found = [read_run(folder) for folder in folders]
    table = tables.certified_accuracy_table(found, list(radii))
    caps = tables.maximum_radius_table(
        lambda sigma, n: smoothing.max_radius(sigma, n, alpha), alpha=alpha
    )
    out.mkdir(parents=True, exist_ok=True)
    stages = {runs.description(f)["settings"]["noise_enters_at"] for f in folders}
    lines = [
        "# Certified accuracy",
        tables.as_markdown(table),
        "![certified accuracy over the radius](curve.png)",
        f"# Largest certifiable radius, alpha = {alpha:g}",
        tables.as_markdown(caps),
    ]
    (out / "report.md").write_text("\n\n".join(lines) + "\n")
    text = tables.as_text(table)
    try:
        from advjax.reports import plots

        plots.certified_accuracy_plot(
            found, out / "curve.png", units=" / ".join(sorted(stages))
        )
    except ImportError:
        return f"{text}\n\n(no plot: pip install 'advjax[plots]')"
    return text


def records_digest(folder: pathlib.Path) -> str:
    """Sixteen hexadecimal digits of what the records say of themselves."""
    return _digest(records.info(folder)._asdict(), 16)


def say(text: str) -> None:
    """Nothing; one line of what is going on, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def _named(title: str, settings: Mapping[str, Any]) -> str:
    return f"{title}-{_digest(settings, 8)}"


def _digest(value: Any, length: int) -> str:
    def plain(odd: Any) -> Any:
        return definition(odd) if isinstance(odd, Representation) else str(odd)

    text = json.dumps(value, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" * (len(names) > 3))
