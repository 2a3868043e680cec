"""Records in the TFDS layout, shards in `array_record`, without TensorFlow.

TFDS is imported inside the functions: it costs a second or two, and a machine without
it can still use the other format.
"""

import contextlib
import io
import logging
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, SupportsIndex

import numpy as np

from advjax.records.npz import read_json
from advjax.records.schema import REBUILD, Example, position
from advjax.representations import Representation

HEADER_FILES = ("metadata.json", "dataset_info.json")
# TFDS cuts a split into shards between these sizes: one below half a GiB.
MIN_SHARD_BYTES, MAX_SHARD_BYTES = 1 << 29, 1 << 30


def write(
    folder: pathlib.Path,
    splits: Mapping[str, Iterable[Example]],
    header: Mapping[str, Any],
    representation: Representation,
) -> None:
    """Nothing; fills `folder`."""
    tfds = _tfds()
    from tensorflow_datasets.core import registered

    failure: list[BaseException] = []

    def numbered(examples: Iterable[Example]) -> Iterator[tuple[int, Example]]:
        # TFDS rewrites the exceptions that pass through it; ours should arrive as is.
        try:
            yield from enumerate(examples)
        except Exception as error:
            failure.append(error)
            raise

    as_bytes = tfds.features.Encoding.BYTES
    audio = tfds.features.Tensor(
        shape=(representation.num_samples,), dtype=np.int16, encoding=as_bytes
    )
    features = tfds.features.Tensor(
        shape=representation.feature_shape, dtype=np.float32, encoding=as_bytes
    )
    # Not registered: several corpora or configurations may be written by one process.
    with registered.skip_registration():

        class Records(tfds.core.GeneratorBasedBuilder):
            """One corpus at one representation."""

            VERSION = tfds.core.Version("1.0.0")
            BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=representation.name)]
            name = header["name"]

            def _info(self):
                columns = {
                    "id": tfds.features.Text(),
                    "audio": audio,
                    "features": features,
                    "label": tfds.features.ClassLabel(names=list(header["labels"])),
                    "speaker": tfds.features.Text(),
                }
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(columns),
                    supervised_keys=("features", "label"),
                    disable_shuffling=True,
                    metadata=tfds.core.MetadataDict(header),
                )

            def _split_generators(self, dl_manager):
                del dl_manager
                return {
                    split: self._generate_examples(each)
                    for split, each in splits.items()
                }

            def _generate_examples(self, examples):
                return numbered(examples)

    tfds.disable_progress_bar()
    work = folder / "tfds"
    builder = Records(
        data_dir=str(work), config=representation.name, file_format="array_record"
    )
    config = tfds.download.DownloadConfig(
        min_shard_size=MIN_SHARD_BYTES, max_shard_size=MAX_SHARD_BYTES
    )
    try:
        with _quiet():
            builder.download_and_prepare(download_config=config)
    except Exception:
        if failure:
            raise failure[0] from None
        raise
    for path in pathlib.Path(builder.data_dir).iterdir():
        os.replace(path, folder / path.name)
    shutil.rmtree(work)


def header(folder: pathlib.Path) -> dict[str, Any]:
    """What the writer stored beside the records, with the size of each split."""
    metadata, described = (read_json(folder / name) for name in HEADER_FILES)
    sizes = {
        split["name"]: sum(int(length) for length in split["shardLengths"])
        for split in described.get("splits", ())
    }
    return {**metadata, "splits": sizes}


class Records:
    """The records of one split; only those asked for are read from the disk."""

    def __init__(self, folder: pathlib.Path, split: str, length: int):
        """A view of a split that has `length` records.

        Raises:
            ValueError: TFDS cannot open it.
        """
        tfds = _tfds()
        self._place = f"{folder} ({split})"
        self._length = length
        try:
            with _quiet():
                builder = tfds.builder_from_directory(str(folder))
                self._source = builder.as_data_source(split=split)
        except Exception as error:
            raise ValueError(
                f"cannot open {self._place}: {error}. {REBUILD}"
            ) from error

    def __len__(self) -> int:
        """How many records there are."""
        return self._length

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies."""
        place = position(index, self._length)
        try:
            row = self._source[place]
        except (RuntimeError, IndexError, ValueError, OSError) as error:
            raise ValueError(
                f"record {place} of {self._place} cannot be read: {error}. {REBUILD}"
            ) from error
        return Example(
            id=row["id"].decode(),
            audio=np.array(row["audio"]),
            features=np.array(row["features"]),
            label=int(row["label"]),
            speaker=row["speaker"].decode(),
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside, TFDS neither announces downloads on standard output nor logs steps."""
    logger = logging.getLogger("absl")  # the one it uses
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _tfds() -> Any:
    """The module tensorflow_datasets.

    Raises:
        ModuleNotFoundError: it or array_record is missing; the message says what to do.
    """
    try:
        import array_record.python.array_record_data_source  # noqa: F401
        import tensorflow_datasets
    except ImportError as error:
        raise ModuleNotFoundError(
            f"records in array_record need TFDS ({error}): "
            "pip install 'advjax[data]', or build records with --file_format=npz"
        ) from error
    return tensorflow_datasets
