"""Records of a task: found or built, with the examples of training and tests.

Of several processes the first one builds, and the others find it: the home is a folder
that all of them see.
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from advjax import evaluation, records
from advjax.records import spread
from advjax.representations import Representation, definition
from advjax.runtime import parallel
from advjax.runtime.locks import reserve
from advjax.runtime.text import printable
from advjax.signal.samples import from_int16
from advjax.training import Dataset
from data_prep import build
from data_prep.crops import most_crops
from experiments.lab import folder_names
from experiments.lab.caveats import recording_of
from experiments.lab.console import say

MOST_IN_MEMORY = 2**31
"""Bytes of the examples of a split that stay in memory; our choice."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Records that are there, and agree with the code that computes their features."""

    folder: pathlib.Path
    info: records.Info

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.info.labels)

    def digest(self) -> str:
        """Sixteen hexadecimal digits of the records."""
        return records_digest(self.folder)

    def split(self, name: str) -> records.Source:
        """The examples of one split."""
        return records.read(self.folder, name)

    @functools.cached_property
    def test(self) -> records.Source:
        """The examples to evaluate, opened and checked once."""
        return self.split("test")

    def dataset(self, split: str, at: str) -> Dataset:
        """One split for training at the stage `at`: in memory, or on disk if large.

        At another stage than that of the features, and where no features are stored, it
        is audio, of which the training step makes the rest. Labels have flags of a
        person's check where the records name recordings without one.
        """
        own = at == self.info.representation.name
        field = "features" if own and "features" in self.info.fields else "audio"
        source = self.split(split)
        column = records.Column(source, field)
        if column.nbytes > MOST_IN_MEMORY:
            loaded = records.load(source, fields=("label", "id"))
            return Dataset(column, loaded["label"], self._verified(loaded["id"]))
        loaded = records.load(source, fields=(field, "label", "id"))
        return Dataset(loaded[field], loaded["label"], self._verified(loaded["id"]))

    def _verified(self, ids: Sequence[str]) -> Bool[np.ndarray, "examples"] | None:
        """True where a person has checked the label; None without any doubtful one."""
        if "unverified" not in self.info.metadata:
            return None
        doubtful = set(self.info.metadata["unverified"])
        return np.asarray([recording_of(id) not in doubtful for id in ids])

    def num_points(self, asked: int | None, default: int) -> int:
        """The number of test points: as asked, or the default if there are as many."""
        return asked or min(default, len(self.test))

    def test_points(
        self, stage: Representation, count: int | None
    ) -> list[evaluation.Point]:
        """Test records spread evenly over the split, at a stage of the chain.

        Raises:
            ValueError: more points than test records.
        """
        source = self.test
        count = len(source) if count is None else count
        if not 1 <= count <= len(source):
            raise ValueError(
                f"num_points={count}: there are {len(source)} test records"
            )
        return list(self.points(stage, spread(len(source), count)))

    def points(
        self,
        stage: Representation,
        places: Iterable[int],
        source: records.Source | None = None,
    ) -> Iterator[evaluation.Point]:
        """Records at these places, each made when it is asked for.

        Args:
            stage: of the points.
            places: in the split.
            source: the split; by default that of tests.
        """
        source = self.test if source is None else source
        for index in map(int, places):
            example = source[index]
            x = evaluation.stage_features(stage, example["audio"])
            norm = float(np.linalg.norm(np.float64(from_int16(example["audio"]))))
            yield evaluation.Point(index, example["id"], x, example["label"], norm)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A folder of records, there already or still to be built of a corpus.

    Attributes:
        flag: the flag that names the origin of the clips, for messages.
        folder: of the records.
        representation: of their features.
        labels: the names of the classes.
        sizes: clips of each split: as many as the records have, or can have once built.
        found: sentences on the folder of a corpus.
        build: builds them; None for records that were given.
    """

    flag: str
    folder: pathlib.Path
    representation: Representation
    labels: tuple[str, ...]
    sizes: Mapping[str, int]
    found: tuple[str, ...] = ()
    build: Callable[[], None] | None = None

    def resolve(self) -> Data:
        """The records, built if need be and checked against the code."""
        if self.build is not None:
            find_or_make(
                "records", self.folder, self.build, _without_digests, records.sets
            )
        info = records.info(self.folder, expect=self.representation)
        return Data(folder=self.folder, info=info)


def find_or_make(
    what: str,
    path: pathlib.Path,
    make: Callable[[], None],
    remark: Callable[[pathlib.Path], str] = lambda path: "",
    there: Callable[[pathlib.Path], object] = pathlib.Path.exists,
) -> None:
    """Make the file or folder `path` in the first process; the others find it.

    Args:
        what: its kind, in one word.
        path: the file or folder.
        make: makes it.
        remark: text on a path that exists, for people.
        there: true if there is nothing to make.
    """

    def find_or_make_here() -> None:
        if not there(path):
            with reserve(path, say=say):
                if not there(path):
                    make()
                    return
        say(f"{what:12}{path} (found{remark(path)})")

    parallel.first_does(f"{what} {path}", find_or_make_here)


def source_of_records(folder: str, representation: Representation) -> Source:
    """The source of a folder of records that exists."""
    info = records.info(folder, expect=representation)
    return Source(
        flag=f"--records={printable(folder)}",
        folder=pathlib.Path(folder),
        representation=representation,
        labels=tuple(info.labels),
        sizes=info.splits,
    )


def source_of_corpus(
    text: str,
    corpus_dir: str | None,
    representation: Representation,
    *,
    home: pathlib.Path,
    crops: Mapping[str, int],
    on_error: str = "stop",
) -> Source:
    """The source of a corpus, whose folder in `home` its settings name.

    Args:
        text: a choice from `CORPORA`, with options.
        corpus_dir: the folder of a corpus that was downloaded.
        representation: of the features.
        home: where records go.
        crops: examples of a class in each split, unless the corpus has whole clips.
        on_error: "stop" or "skip" at a recording that cannot be read.

    Raises:
        ValueError: an unknown corpus or option.
        FileNotFoundError: the corpus is not in its folder.
    """
    rate = representation.sample_rate_hz
    corpus, options = build.pick_corpus(text, corpus_dir or "", rate)
    listed = {split: corpus.utterances(split) for split in crops}
    settings = {
        "corpus": corpus.name,
        "options": options,
        "labels": corpus.labels,
        "utterances": {split: len(clips) for split, clips in listed.items()},
        "crops": None if corpus.whole else dict(crops),
        "representation": definition(representation),
        "on_error": on_error,
        **({"listing": corpus.listing["digest"]} if corpus.listing else {}),
    }
    folder = folder_names.place(home / "records", corpus.name, settings)
    sizes = {
        split: len(clips)
        if corpus.whole
        else most_crops(
            clips, crops[split], num_samples=representation.num_samples, rate_hz=rate
        )
        for split, clips in listed.items()
    }

    def make() -> None:
        what = f"cutting up to {crops['train']} training crops of each"
        if corpus.whole:
            what = f"{sizes['train']} whole training clips"
        say(f"records     {folder}: {what} of {len(corpus.labels)} classes of {text}")
        # Without locks another start may build it meanwhile; whole, it is as good.
        with contextlib.suppress(FileExistsError):
            info = build.build(
                corpus, representation, folder,
                crops_per_class=crops, on_error=on_error, options=options,
            )  # fmt: skip
            # Recordings that were left out, and crops that are fewer than asked for.
            for line in build.summary(info, folder).splitlines()[1:]:
                say(f"            {line}")

    return Source(
        flag=f"--corpus={printable(text)}",
        folder=folder,
        representation=representation,
        labels=tuple(corpus.labels),
        sizes=sizes,
        found=corpus.found,
        build=make,
    )


def _without_digests(folder: pathlib.Path) -> str:
    if records.recordings(folder) is not None:
        return ""
    return "; an older version built them, without digests to check"


def records_digest(folder: pathlib.Path) -> str:
    """Sixteen hexadecimal digits of a folder of records.

    Records without digests of their own are identified by their description.
    """
    recorded = records.recordings(folder)
    described = records.info(folder)._asdict()
    if described["fields"] == records.FIELDS:
        del described["fields"]  # Earlier versions stored all fields and said nothing.
    more = {"recordings": recorded} if recorded else {}
    return folder_names.digest(described | more, 16)
