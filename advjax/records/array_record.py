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
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from advjax.records.header import HEADER, NAME, VERSION, read_json
from advjax.records.schema import FIELDS, REBUILD, Example, Info, position
from advjax.representations import Representation
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Exactly, Fields, Items, Text
from advjax.runtime.plain_paths import plain_path
from advjax.runtime.text import printable

HEADER_FILES = ("metadata.json", "dataset_info.json")
MAX_SHARD_BYTES = 1 << 29
"""Bytes of records after which a split gets another shard."""


def write(
    folder: pathlib.Path,
    splits: Mapping[str, Iterable[Example]],
    header: Mapping[str, Any],
    representation: Representation,
) -> None:
    """Write the records of every split to `folder`."""
    tfds = _tfds()
    fields = header.get("fields", FIELDS)
    columns = _columns(tfds, representation, header["labels"], fields)
    with plain_path(folder) as plain, _quiet():
        identity = tfds.core.DatasetIdentity(
            name=header["name"],
            version=tfds.core.Version(VERSION),
            data_dir=str(plain),
            module_name=__name__,
            config_name=representation.name,
        )
        described = tfds.core.DatasetInfo(
            builder=identity,
            description=(
                f"Crops of the corpus {header['name']} as 16-bit audio, for the "
                f"features {representation.name}. The metadata defines the features "
                "and says how the records were made."
            ),
            features=columns,
            supervised_keys=("features" if "features" in fields else "audio", "label"),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(header),
        )
        described.set_file_format("array_record")
        template = tfds.core.ShardedFileTemplate(
            data_dir=plain, dataset_name=header["name"], filetype_suffix="array_record"
        )
        # TFDS's own writer keeps a split in memory, and above 1 GiB needs TensorFlow.
        found = [
            _write_split(tfds, columns, template.replace(split=split), examples)
            for split, examples in splits.items()
        ]
        described.set_splits(tfds.core.SplitDict(found))
        described.write_to_directory(plain)


def _write_split(
    tfds: Any, columns: Any, template: Any, examples: Iterable[Example]
) -> Any:
    """Write the shards of one split; return TFDS's description of it."""
    from array_record.python.array_record_module import ArrayRecordWriter

    total, lengths, paths = 0, [], []
    encoded = map(columns.serialize_example, examples)
    for first in encoded:
        paths.append(template.data_dir / f"{template.split}-{len(paths)}.shard")
        writer = ArrayRecordWriter(str(paths[-1]), "group_size:1")
        count = size = 0
        for record in itertools.chain([first], encoded):
            writer.write(record)
            count, size = count + 1, size + len(record)
            if size >= MAX_SHARD_BYTES:
                break
        writer.close()
        lengths.append(count)
        total += size
    for index, path in enumerate(paths):
        named = template.sharded_filepath(shard_index=index, num_shards=len(paths))
        os.replace(path, named)
    return tfds.core.SplitInfo(
        name=template.split,
        shard_lengths=lengths,
        num_bytes=total,
        filename_template=template,
    )


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
        self._features = _columns(tfds, info.representation, info.labels, info.fields)
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
            example = Example(
                id=row["id"].decode(),
                audio=np.array(row["audio"]),
                label=int(row["label"]),
                speaker=row["speaker"].decode(),
            )
            if "features" in row:
                example["features"] = np.array(row["features"])
            return example
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
    columns = {
        "id": text,
        "audio": tensor("int16", (representation.num_samples,)),
        "features": tensor("float32", representation.feature_shape),
        "label": label,
        "speaker": text,
    }
    stored = Fields({field: columns[field] for field in info.fields})
    whole = Fields(
        {
            "pythonClassName": Exactly(f"{classes}.features_dict.FeaturesDict"),
            "featuresDict": Fields({"features": stored}),
        }
    )
    read_json(folder / "features.json", whole)


def _columns(
    tfds: Any,
    representation: Representation,
    labels: Sequence[str],
    fields: Sequence[str],
) -> Any:
    """TFDS feature types of a record's fields."""
    as_bytes = tfds.features.Encoding.BYTES
    tensor = functools.partial(tfds.features.Tensor, encoding=as_bytes)
    columns = {
        "id": tfds.features.Text(),
        "audio": tensor(shape=(representation.num_samples,), dtype=np.int16),
        "features": tensor(shape=representation.feature_shape, dtype=np.float32),
        "label": tfds.features.ClassLabel(names=list(labels)),
        "speaker": tfds.features.Text(),
    }
    return tfds.features.FeaturesDict({field: columns[field] for field in fields})


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
