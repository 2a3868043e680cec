"""Schema and reader of the JSON files that describe records."""

import pathlib
from typing import Any

from advjax.records.content import CONTENT
from advjax.records.schema import AUDIO_FIELDS, REBUILD
from advjax.runtime import json_files
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import (
    Exactly,
    Fields,
    Integer,
    Items,
    Number,
    Schema,
    Table,
    Text,
)
from advjax.runtime.text import printable

NAME = "[a-z][a-z0-9_]*"
"""Pattern of the names of records and splits, which occur in file names."""
VERSION = "1.0.0"
"""Version of every set, for TFDS: a set never changes after it is written."""
SPLITS = Table(Integer(1, 1 << 40), key=Text(pattern=NAME), low=1)
HEADER = Fields(
    {
        "layout_version": Integer(),
        "name": Text(pattern=NAME),
        "labels": Items(Text(), low=1, distinct=True),
        "definition": Table(),
        "probe": Items(Number(), low=1),
        "metadata": Table(),
    },
    {"content": CONTENT, "fields": Exactly(AUDIO_FIELDS)},
    open=True,
)


def read_json(path: pathlib.Path, schema: Schema) -> dict[str, Any]:
    """Content of a JSON file that describes records or lists them.

    Raises:
        Damaged: the file is missing, or does not fit `schema`.
    """
    try:
        return json_files.read_json(path, schema, advice=REBUILD)
    except FileNotFoundError as error:
        raise Damaged(f"{printable(str(path))} is missing. {REBUILD}") from error
