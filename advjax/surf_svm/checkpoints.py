"""Checkpoints of a fit: its finished stages in a folder, for resuming after a kill."""

import dataclasses
import hashlib
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from advjax.runtime.atomic import new_file
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Table, read_json
from advjax.runtime.paths import user_path
from advjax.runtime.text import printable


class Stages:
    """Finished stages in a folder that belongs to one fit."""

    def __init__(self, workdir, network, representation, recipe, x, y, seed):
        """Open the folder, or none; refuse the folder of another fit."""
        self._folder = user_path(workdir) if workdir is not None else None
        if self._folder is None:
            return
        data = hashlib.sha256(np.ascontiguousarray(x).tobytes() + y.tobytes())
        description = json.dumps(
            {
                "network": str(network),
                "representation": str(representation),
                "recipe": dataclasses.asdict(recipe),
                "data": data.hexdigest()[:16],
                "seed": seed,
            },
            indent=2,
        )
        file = self._folder / "fit.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.read_bytes() != description.encode():
            try:
                read_json(file, Table())
            except Damaged as damage:
                self._start_anew(damage)
            else:
                raise ValueError(
                    f"{printable(str(self._folder))} holds stages of another fit (see "
                    f"{file.name} there): give another folder, or delete it"
                )
        with new_file(file) as aside:
            aside.write_text(description, encoding="utf-8")

    def _start_anew(self, damage: Exception) -> None:
        """Remove every stage, since their fit is unknown, and report the damage."""
        _report(f"{damage}: every stage is fitted again")
        for path in self._folder.glob("*.npz"):
            path.unlink()

    def load_or_fit(self, name: str, run: Callable[[], Any]) -> Any:
        """The arrays of a stage, fitted now or earlier.

        A damaged file is reported, and its stage is fitted again.
        """
        if self._folder is None:
            return run()
        file = self._folder / f"{name}.npz"
        if file.exists():
            try:
                return _nest(_stage(file))
            except Damaged as damage:
                _report(f"{damage}: this stage is fitted again")
        flat = {
            "/".join(key.key for key in path): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(run())
        }
        with new_file(file) as aside, aside.open("wb") as stream:
            np.savez(stream, **flat, **{_DIGEST: _digest(name, flat)})
        return _nest(_stage(file))


_DIGEST = "sha256"


def _digest(name: str, flat: dict[str, np.ndarray]) -> np.ndarray:
    """The SHA-256 of the arrays of a stage."""
    sha = hashlib.sha256(name.encode())
    for key in sorted(flat):
        array = flat[key]
        sha.update(f"{key} {array.dtype} {array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(sha.digest(), np.uint8)


def _stage(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays in the file of a stage; earlier versions wrote no digest of them.

    Raises:
        Damaged: the arrays were altered or cannot be read.
        PermissionError: the file is not readable.
    """
    shown = printable(str(file))
    try:
        with np.load(file, allow_pickle=False) as archive:
            flat = {key: archive[key] for key in archive.files}
    except PermissionError:
        raise
    except Exception as error:  # archives, compression and headers have their own
        raise Damaged(f"{shown} is damaged ({printable(str(error))[:200]})") from error
    said = flat.pop(_DIGEST, None)
    if said is not None and not np.array_equal(said, _digest(file.stem, flat)):
        raise Damaged(f"{shown} is damaged: its arrays differ from their digest")
    if not flat or any(array.dtype.kind not in "fiub" for array in flat.values()):
        raise Damaged(f"{shown} is damaged: it holds no numbers")
    return flat


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _nest(flat) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in flat:
        *path, last = name.split("/")
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = flat[name]
    return found
