"""Classifiers as files for other programs: ONNX and StableHLO, compared when written.

A file takes waveforms [batch, samples] in [-1, 1] at the classifier's rate, and gives
logits [batch, classes] in the order of its labels. The front end is in it.
"""

import json
import logging
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.export
import numpy as np
from jaxtyping import Float

from advjax.callables import UnusableNetwork
from advjax.classifier import BaseClassifier
from advjax.interop import comparison
from advjax.interop.black_box import Batch, Rows, check_visible
from advjax.interop.onnx_runtime import Model
from advjax.interop.plain_programs import plain
from advjax.runtime import failures, targets
from advjax.runtime.atomic import new_file
from advjax.runtime.paths import user_path
from advjax.runtime.text import printable

Waves = Float[np.ndarray, "clips samples"]

PLATFORMS = ("cpu", "cuda", "tpu")
"""Devices that a StableHLO file is made for."""


class Exported(NamedTuple):
    """A written file, and how its logits compare with the classifier's.

    Attributes:
        path: the file.
        batch: clips of a call; None for any number.
        num_clips: clips that both were given.
        difference: largest difference of two logits.
        largest: largest logit.
    """

    path: pathlib.Path
    batch: int | None
    num_clips: int
    difference: float
    largest: float


def to_onnx(
    classifier: BaseClassifier,
    path: str | os.PathLike[str],
    *,
    clips: Waves | None = None,
) -> Exported:
    """Write a classifier as an ONNX model that `--classifier=onnx:FILE` reads.

    The labels (as JSON), `sample_rate_hz` and `num_samples` are its properties. It is
    read back by ONNX Runtime and compared before it appears.

    Args:
        classifier: with gradients, so that JAX knows its operations.
        path: the file; an existing one is replaced.
        clips: to compare on, beside random ones.

    Raises:
        ImportError: jax2onnx or ONNX Runtime is missing.
        ValueError: a black box, an operation that jax2onnx lacks, or logits that differ
            by more than `comparison.TOLERANCE`.
    """
    check(classifier, "onnx")

    def write(aside: pathlib.Path, batch: int | None) -> None:
        import onnx

        model = _onnx_of(classifier, batch)
        properties = {key: _as_text(v) for key, v in description(classifier).items()}
        onnx.helper.set_model_props(model, properties)
        onnx.save(model, aside)

    return _exported(classifier, path, clips, write, lambda file: Model(file).call)


def to_stablehlo(
    classifier: BaseClassifier,
    path: str | os.PathLike[str],
    *,
    clips: Waves | None = None,
) -> Exported:
    """Write a classifier as StableHLO, serialized by `jax.export`.

    `from_stablehlo` reads it, and so does any program with JAX or OpenXLA. FILE.json
    beside it keeps labels, rate and length. It is for the devices of `PLATFORMS`.

    Args:
        classifier: with gradients, so that JAX knows its operations.
        path: the file; an existing one is replaced.
        clips: to compare on, beside random ones.

    Raises:
        ImportError: flatbuffers is missing.
        ValueError: a black box, an operation that cannot be exported, or logits that
            differ by more than `comparison.TOLERANCE`.
    """
    check(classifier, "stablehlo")

    def write(aside: pathlib.Path, batch: int | None) -> None:
        with targets.compiling_for("gpu"):
            program = jax.export.export(
                jax.jit(_of_batches(classifier)), platforms=PLATFORMS
            )(_input(classifier, batch))
        aside.write_bytes(program.serialize())

    found = _exported(classifier, path, clips, write, from_stablehlo)
    described = {**description(classifier), "batch": found.batch}
    with new_file(f"{found.path}.json") as aside:
        aside.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return found


def from_stablehlo(path: str | os.PathLike[str]) -> Callable[[Batch], jax.Array]:
    """The function of a file of `to_stablehlo`: a batch of waveforms to its logits.

    Raises:
        ImportError: flatbuffers is missing.
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or another version of JAX wrote it.
    """
    failures.need("flatbuffers")
    content = user_path(path).read_bytes()
    try:
        return jax.export.deserialize(bytearray(content)).call
    except Exception as error:  # the reader raises many kinds
        reason = printable((str(error) or type(error).__name__).splitlines()[0])[:300]
        raise ValueError(f"{path} is no program of jax.export: {reason}") from error


class Format(NamedTuple):
    """A format of files.

    Attributes:
        export: writes a classifier.
        suffix: of a file.
        packages: that it needs.
    """

    export: Callable[..., Exported]
    suffix: str
    packages: tuple[str, ...] = ()


FORMATS: Mapping[str, Format] = {
    "onnx": Format(to_onnx, ".onnx", ("jax2onnx", "onnx", "onnxruntime")),
    "stablehlo": Format(to_stablehlo, ".stablehlo", ("flatbuffers",)),
}
"""By the name that `--to` gives."""


def check(classifier: BaseClassifier, to: str) -> None:
    """Refuse a format whose packages are missing, or a black box.

    Raises:
        ImportError: a package is missing.
        ValueError: the classifier is a black box.
    """
    failures.need(*FORMATS[to].packages)
    check_visible(classifier, "export the network that it was made of")


def description(classifier: BaseClassifier) -> dict[str, Any]:
    """Labels, rate and length of a classifier's clips, and its name and digest."""
    representation = classifier.representation
    labels = {"labels": list(classifier.labels)} if classifier.labels else {}
    return {
        **labels,
        "sample_rate_hz": representation.sample_rate_hz,
        "num_samples": representation.num_samples,
        "network": classifier.name,
        "digest": classifier.digest(),
    }


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _of_batches(classifier: BaseClassifier) -> Callable[[jax.Array], jax.Array]:
    logits = jax.vmap(classifier.logits_fn("waveform"))
    return lambda waveform: logits(waveform)


def _input(classifier: BaseClassifier, batch: int | None) -> jax.ShapeDtypeStruct:
    size = jax.export.symbolic_shape("batch")[0] if batch is None else batch
    return jax.ShapeDtypeStruct((size, classifier.representation.num_samples), "f4")


def _exported(
    classifier: BaseClassifier,
    path: str | os.PathLike[str],
    clips: Waves | None,
    write: Callable[[pathlib.Path, int | None], None],
    read: Callable[[pathlib.Path], Callable[[Batch], Any]],
) -> Exported:
    """Write a file for any number of clips, or else for one, and compare it."""
    path = user_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    waves = comparison.random_waves(classifier.representation.num_samples)
    if clips is not None:
        waves = np.concatenate([waves, np.asarray(clips, np.float32)])
    # One by one: a large network would fill the memory with all clips at once.
    one = jax.jit(classifier.logits_fn("waveform"))
    ours = np.stack([np.asarray(one(wave)) for wave in waves])
    for batch in (None, 1):
        try:
            with new_file(path) as aside:
                write(aside, batch)
                difference = _difference(read(aside), waves, ours, batch)
            largest = float(np.abs(ours).max())
            return Exported(path, batch, len(waves), difference, largest)
        except (OSError, ImportError, UnusableNetwork):
            raise
        except Exception as error:  # converters raise many kinds
            lacking = re.search(_LACKING, f"{error}")
            if lacking or batch is not None:
                raise UnusableNetwork(_refusal(classifier, error, lacking)) from error
    raise AssertionError("a batch of one clip is exported or refused")


_LACKING = r"No plugins registered for primitive '(.+?)'"
"""The message of jax2onnx about an operation that it lacks."""


def _difference(
    call: Callable[[Batch], Any], waves: Waves, ours: Rows, batch: int | None
) -> float:
    """The largest difference of logits, of single clips and of the first together.

    Raises:
        UnusableNetwork: it is above the tolerance.
    """
    found = [np.concatenate([np.asarray(call(wave[None])) for wave in waves])]
    if batch is None:
        found.append(np.asarray(call(waves[: comparison.CLIPS])))
    most = max(float(np.abs(rows - ours[: len(rows)]).max()) for rows in found)
    allowed = comparison.TOLERANCE * max(float(np.abs(ours).max()), 1e-3)
    if not most <= allowed:
        raise UnusableNetwork(
            f"the written program's logits differ by {most:.2g} from the classifier's, "
            f"and {allowed:.2g} is allowed: the file is not kept"
        )
    return most


def _refusal(
    classifier: BaseClassifier, error: Exception, lacking: re.Match[str] | None
) -> str:
    offer = "stablehlo has all operations of JAX"
    if lacking:
        return (
            f"{classifier.name} has the operation {lacking[1]}, which jax2onnx lacks: "
            f"{offer}"
        )
    reason = printable((f"{error}".strip() or "no reason given").splitlines()[0])[:300]
    return (
        f"{classifier.name} cannot be exported ({type(error).__name__}: {reason}); "
        f"{offer}"
    )


def _onnx_of(classifier: BaseClassifier, batch: int | None) -> Any:
    """The model, for so many clips or any number of them."""
    import jax2onnx

    x = _input(classifier, batch)
    # The forms for XLA on a CPU have ten operations in the place of a convolution.
    with targets.compiling_for("gpu"), _quiet():
        model = jax2onnx.to_onnx(
            plain(_of_batches(classifier), x),
            [x],
            model_name="advjax",
            input_names=["waveform"],
            output_names=["logits"],
        )
    # Shapes between operations, of which some are wrong; readers find their own.
    del model.graph.value_info[:]
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the converter's warnings about its own intermediate shapes."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "jax2onnx")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
