"""Records in the TFDS layout, shards in `array_record`, without TensorFlow.

TFDS is imported inside the functions: the import takes a second or two, and a machine
without TFDS can still use the other format.
"""

import bisect
import contextlib
import functools
import io
import itertools
import logging
import os
import pathlib
import shutil
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from advjax.records.header import HEADER, NAME, VERSION, read_json
from advjax.records.schema import REBUILD, Example, Info, position
from advjax.representations import Representation
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Exactly, Fields, Items, Text
from advjax.runtime.plain_paths import plain_path
from advjax.runtime.text import printable

HEADER_FILES = ("metadata.json", "dataset_info.json")
# TFDS cuts a split into shards between these sizes: one below half a GiB.
MIN_SHARD_BYTES, MAX_SHARD_BYTES = 1 << 29, 1 << 30


def write(
    folder: pathlib.Path,
    splits: Mapping[str, Iterable[Example]],
    header: Mapping[str, Any],
    representation: Representation,
) -> None:
    """Write the records of every split to `folder`."""
    tfds = _tfds()
    from tensorflow_datasets.core import registered

    failure: list[BaseException] = []

    def numbered(examples: Iterable[Example]) -> Iterator[tuple[int, Example]]:
        # TFDS rewrites exceptions that pass through it; `write` raises the original.
        try:
            yield from enumerate(examples)
        except Exception as error:
            failure.append(error)
            raise

    columns = _columns(tfds, representation, header["labels"])
    # Not registered: several corpora or configurations may be written by one process.
    with registered.skip_registration():

        class Description(tfds.core.DatasetInfo):
            """Description of local data."""

            def initialize_from_bucket(self):
                """Skip the look-up on TFDS's server."""

        class Records(tfds.core.GeneratorBasedBuilder):
            """One corpus at one representation."""

            VERSION = tfds.core.Version(VERSION)
            BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=representation.name)]
            name = header["name"]

            def _info(self):
                return Description(
                    builder=self,
                    description=(
                        f"Crops of the corpus {header['name']} as 16-bit audio, and "
                        f"their features {representation.name}. The metadata defines "
                        "the features and says how the records were made."
                    ),
                    features=columns,
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
    config = tfds.download.DownloadConfig(
        min_shard_size=MIN_SHARD_BYTES, max_shard_size=MAX_SHARD_BYTES
    )
    with plain_path(folder) as plain, _quiet():
        builder = Records(
            data_dir=str(plain / "tfds"),
            config=representation.name,
            file_format="array_record",
        )
        try:
            builder.download_and_prepare(download_config=config)
        except Exception:
            if failure:
                raise failure[0] from None
            raise
        for path in pathlib.Path(builder.data_dir).iterdir():
            os.replace(path, plain / path.name)
    shutil.rmtree(folder / "tfds")


def header(folder: pathlib.Path) -> dict[str, Any]:
    """Metadata stored beside the records, with the size of each split."""
    metadata = read_json(folder / HEADER_FILES[0], HEADER)
    described = read_json(folder / HEADER_FILES[1], _DESCRIBED)
    splits = {
        split["name"]: sum(map(int, split["shardLengths"]))
        for split in described["splits"]
    }
    if len(splits) < len(described["splits"]) or not all(splits.values()):
        raise Damaged(
            f"{printable(str(folder / HEADER_FILES[1]))} is damaged: a split is empty, "
            f"or listed twice. {REBUILD}"
        )
    return {**metadata, "splits": splits}


class Records:
    """Records of one split, read from disk one at a time."""

    def __init__(self, folder: pathlib.Path, split: str, info: Info):
        """Open one split of the records that `info` describes.

        TFDS never sees the folder: it would import any module that a file there names.
        It only decodes examples, with the features defined here.

        Raises:
            Damaged: a file is missing, shortened, or describes other features.
        """
        tfds = _tfds()
        from array_record.python import array_record_data_source

        self._place = f"{printable(str(folder))} ({split})"
        self._length = info.splits[split]
        _check_features(folder, info)
        self._features = _columns(tfds, info.representation, info.labels)
        # Readers open their files lazily, so the link lives as long as this object.
        plain = contextlib.ExitStack()
        weakref.finalize(self, plain.close)
        readable = plain.enter_context(plain_path(folder))
        described = read_json(folder / HEADER_FILES[1], _DESCRIBED)
        (lengths,) = (
            [int(length) for length in each["shardLengths"]]
            for each in described["splits"]
            if each["name"] == split
        )
        self._shards, self._ends = [], list(itertools.accumulate(lengths))
        for index, length in enumerate(lengths):
            name = f"{info.name}-{split}.array_record-{index:05d}-of-{len(lengths):05d}"
            try:
                shard = array_record_data_source.ArrayRecordDataSource(
                    str(readable / name)
                )
            except Exception as error:
                raise self._damage(f"{name} cannot be opened", error) from error
            if len(shard) != length:
                raise self._damage(
                    f"{name} should hold {length} records, and holds {len(shard)}"
                )
            self._shards.append(shard)

    def __len__(self) -> int:
        """Number of records."""
        return self._length

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies."""
        place = position(index, self._length)
        shard = bisect.bisect_right(self._ends, place)
        begin = self._ends[shard - 1] if shard else 0
        try:
            row = self._features.deserialize_example_np(
                self._shards[shard][place - begin]
            )
            return Example(
                id=row["id"].decode(),
                audio=np.array(row["audio"]),
                features=np.array(row["features"]),
                label=int(row["label"]),
                speaker=row["speaker"].decode(),
            )
        except Exception as error:  # the libraries raise errors of many types
            raise self._damage(f"record {place} cannot be read", error) from error

    def _damage(self, reason: str, error: Exception | None = None) -> Damaged:
        said = f" ({printable(str(error))[:200]})" if error else ""
        return Damaged(f"{self._place} is damaged: {reason}{said}. {REBUILD}")


_DESCRIBED = Fields(
    {
        "name": Text(pattern=NAME),
        "splits": Items(
            Fields(
                {
                    "name": Text(pattern=NAME),
                    "shardLengths": Items(Text(pattern="[0-9]{1,12}"), low=1),
                },
                open=True,
            ),
            low=1,
        ),
    },
    {"fileFormat": Exactly("array_record")},
    open=True,
)
"""Schema of the fields of `dataset_info.json` that are read."""


def _check_features(folder: pathlib.Path, info: Info) -> None:
    """Refuse a `features.json` with other features than these records have.

    Other programs give the file to TFDS, which imports the modules that it names.
    """
    classes = "tensorflow_datasets.core.features"
    text = Fields(
        {
            "pythonClassName": Exactly(f"{classes}.text_feature.Text"),
            "text": Fields(),
        }
    )
    label = Fields(
        {
            "pythonClassName": Exactly(f"{classes}.class_label_feature.ClassLabel"),
            "classLabel": Fields({"numClasses": Exactly(str(len(info.labels)))}),
        }
    )

    def tensor(dtype: str, shape: tuple[int, ...]) -> Fields:
        return Fields(
            {
                "pythonClassName": Exactly(f"{classes}.tensor_feature.Tensor"),
                "tensor": Fields(
                    {
                        "dtype": Exactly(dtype),
                        "encoding": Exactly("bytes"),
                        "shape": Exactly({"dimensions": [str(size) for size in shape]}),
                    }
                ),
            }
        )

    representation = info.representation
    columns = Fields(
        {
            "id": text,
            "audio": tensor("int16", (representation.num_samples,)),
            "features": tensor("float32", representation.feature_shape),
            "label": label,
            "speaker": text,
        }
    )
    whole = Fields(
        {
            "pythonClassName": Exactly(f"{classes}.features_dict.FeaturesDict"),
            "featuresDict": Fields({"features": columns}),
        }
    )
    read_json(folder / "features.json", whole)


def _columns(tfds: Any, representation: Representation, labels: Sequence[str]) -> Any:
    """TFDS feature types of a record's fields."""
    as_bytes = tfds.features.Encoding.BYTES
    tensor = functools.partial(tfds.features.Tensor, encoding=as_bytes)
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "audio": tensor(shape=(representation.num_samples,), dtype=np.int16),
            "features": tensor(shape=representation.feature_shape, dtype=np.float32),
            "label": tfds.features.ClassLabel(names=list(labels)),
            "speaker": tfds.features.Text(),
        }
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TFDS from announcing downloads on standard output and logging steps."""
    logger = logging.getLogger("absl")  # the logger of TFDS
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
            f"records in the format array_record need TFDS ({error}): "
            "pip install array-record tensorflow-datasets"
        ) from error
    return tensorflow_datasets
