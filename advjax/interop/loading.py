"""Networks that a text names, loaded, checked and compared with their originals.

A file that such a text names is code, and it is run.
"""

import dataclasses
import hashlib
import importlib
import importlib.util
import json
import pathlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from advjax import catalog
from advjax.interop import comparison, onnx_runtime, pytorch
from advjax.interop.foreign import ForeignClassifier
from advjax.representations import FRONT_ENDS, Representation, Waveform
from advjax.runtime import foreign_names
from advjax.runtime.foreign_names import ForeignName
from advjax.runtime.text import printable
from advjax.types import LogitsFn


class Description(NamedTuple):
    """The result of a user's function: a network, or a mapping with these keys.

    Attributes:
        module: a PyTorch module [batch, samples] to [batch, classes]; or a function of
            JAX from one example to one row of logits.
        sample_rate_hz: of the clips, which are resampled to it.
        num_samples: of a clip; None for any number, 1.6125 s then.
        labels: names of the classes; None for those of the clips, in their order.
        stage: the network's input, as in `FRONT_ENDS`, or a representation.
        black_box: take a PyTorch module without gradients.
    """

    module: Any
    sample_rate_hz: int | None = None
    num_samples: int | None = None
    labels: Sequence[str] | None = None
    stage: Any = "waveform"
    black_box: bool = False

    def representation(self) -> Representation:
        """The network's input.

        Raises:
            ValueError: an unknown stage, or a wrong number.
        """
        stage = self.stage
        if not isinstance(stage, Representation):
            stage = catalog.pick(stage, FRONT_ENDS)
        rate = self.sample_rate_hz or stage.sample_rate_hz
        own = stage.num_samples * rate / stage.sample_rate_hz
        length = self.num_samples or round(own)
        return _from_root(stage, Waveform(sample_rate_hz=rate, num_samples=length))


def load(text: str) -> ForeignClassifier:
    """The network that a text names, checked on random clips.

    Args:
        text: `torch:PATH.py:FUNCTION`, `module:PATH.py:FUNCTION` or `onnx:FILE`. The
            function takes nothing and returns the network or a mapping with the keys of
            `Description`. An ONNX file keeps the same keys as properties beside the
            model, the labels as JSON.

    Raises:
        ImportError: a package that the network needs is missing.
        FileNotFoundError: the file is missing.
        ValueError: it names no network, its code fails, or it breaks the contract.
    """
    name = foreign_names.parse(text)
    if name is None or name.kind not in _OPENERS:
        raise ValueError(f"{printable(text)}: write {foreign_names.FORMS}")
    if name.is_file and not pathlib.Path(name.place).is_file():
        raise FileNotFoundError(f"{text}: there is no file {printable(name.place)}")
    described, code, open_network = _OPENERS[name.kind](name)
    found = _checked(described, open_network, printable(text), code)
    if name.kind == "onnx":
        return found.replace(has_gradients=False)
    return found


def of_module(
    described: Description, *, name: str, code: str = ""
) -> ForeignClassifier:
    """A described PyTorch module, checked as by `load`.

    Args:
        described: the module and its input.
        name: of the network, for messages and for later programs.
        code: hexadecimal digits of what defines it.

    Raises:
        ImportError: PyTorch or torchax is missing.
        ValueError: it breaks the contract.
    """
    return _checked(described, _torch_opener(described), printable(name), code)


Opener = Callable[[Representation], tuple[LogitsFn, comparison.Original]]


def _checked(
    described: Description, open_network: Opener, name: str, code: str
) -> ForeignClassifier:
    try:
        representation = described.representation()
        network, original = open_network(representation)
        found = comparison.compare(network, original, representation, title=name)
    except ValueError as error:
        prefix = "" if name in str(error) else f"{name}: "
        raise ValueError(f"{prefix}{error}") from error
    return ForeignClassifier(
        network=network,
        representation=representation,
        labels=_labels(described.labels, found.num_classes, name),
        order=tuple(range(found.num_classes)),
        name=name,
        code=code,
        has_gradients=not described.black_box,
        remarks=found.remarks,
        recurrent=bool(original.remark),
    )


def _of_torch(name: ForeignName) -> tuple[Description, str, Opener]:
    described, code = _called(name)
    return described, code, _torch_opener(described)


def _torch_opener(described: Description) -> Opener:
    def open_network(representation: Representation):
        module, black_box = described.module, described.black_box
        network = pytorch.from_torch(module, black_box=black_box)
        original = lambda x: pytorch.call_module(module, x)  # noqa: E731
        if black_box:
            return network, comparison.Original("", original, "")
        remark = pytorch.recurrent_remark(module)
        return network, comparison.Original("PyTorch", original, remark)

    return open_network


def _of_jax(name: ForeignName) -> tuple[Description, str, Opener]:
    described, code = _called(name)

    def open_network(representation: Representation):
        function = described.module
        if not callable(function):
            raise ValueError(
                f"it returns {type(function).__name__}: return a function from one "
                "example to one row of logits"
            )
        if jax.tree_util.all_leaves([function]):
            function = jax.tree_util.Partial(function)
        return function, comparison.Original("", None, "")

    return described, code, open_network


def _of_onnx(name: ForeignName) -> tuple[Description, str, Opener]:
    model = onnx_runtime.Model(name.place)
    kept = {k: v for k, v in model.metadata.items() if k in Description._fields}
    for key in kept.keys() & {"labels", "sample_rate_hz", "num_samples"}:
        try:
            kept[key] = json.loads(kept[key])
        except ValueError as error:
            raise ValueError(
                f"{name}: its property {key} is no JSON ({kept[key][:80]!r})"
            ) from error
    if len(model.feature_shape) == 1:
        kept.setdefault("num_samples", model.feature_shape[0])
    described = _described({**kept, "module": model}, str(name))

    def open_network(representation: Representation):
        network = model.logits_fn(representation.feature_shape)
        return network, comparison.Original("", model.call, "")

    return described, _digest(*onnx_runtime.files_of(name.place)), open_network


_OPENERS = {"torch": _of_torch, "module": _of_jax, "onnx": _of_onnx}


def _called(name: ForeignName) -> tuple[Description, str]:
    """The result of the function that a name names, and a digest of its file."""
    module = _imported(name)
    function = getattr(module, name.function, None)
    if not callable(function):
        raise ValueError(f"{name}: {name.place} has no function {name.function}")
    found = _guarded(function, name)
    code = _digest(pathlib.Path(module.__file__)) if module.__file__ else ""
    return _described(found, str(name)), code


def _imported(name: ForeignName) -> types.ModuleType:
    if not name.is_file:
        return _guarded(lambda: importlib.import_module(name.place), name)
    path = pathlib.Path(name.place)
    # Dataclasses look for their module by its name.
    title = f"advjax_user_{path.stem}_{hashlib.sha256(name.place.encode()).hexdigest()}"
    spec = importlib.util.spec_from_file_location(title, path)
    module = sys.modules[title] = importlib.util.module_from_spec(spec)
    # As if it were started: it finds the files beside it.
    sys.path.insert(0, str(path.parent))
    try:
        _guarded(lambda: spec.loader.exec_module(module), name)
    finally:
        sys.path.remove(str(path.parent))
    return module


def _guarded(call: Callable[[], Any], name: ForeignName) -> Any:
    """The result of a user's code; its failure names the line.

    Raises:
        ValueError: it fails in any way but by a missing package.
    """
    try:
        return call()
    except ImportError:
        raise
    except Exception as error:
        frame = error.__traceback__
        line = ""
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == name.place:
                line = f" in line {frame.tb_lineno}"
            frame = frame.tb_next
        if isinstance(error, SyntaxError):
            line = f" in line {error.lineno}"
        reason = printable((str(error).strip() or "no reason given").splitlines()[0])
        raise ValueError(
            f"{name}: its code fails{line} ({type(error).__name__}: {reason[:300]}); "
            "--debug shows the whole traceback"
        ) from error


def _described(found: Any, name: str) -> Description:
    if not isinstance(found, Mapping):
        return Description(found)
    if odd := [key for key in found if key not in Description._fields]:
        raise ValueError(
            f"{name}: a mapping with the key {odd[0]!r}; the keys are "
            f"{', '.join(Description._fields)}"
        )
    if "module" not in found:
        raise ValueError(f"{name}: the mapping has no 'module', the network")
    for key in ("sample_rate_hz", "num_samples"):
        value = found.get(key)
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if value is not None and not whole:
            raise ValueError(f"{name}: {key}={value!r}: give a whole number above 0")
    return Description(**found)


def _labels(
    given: Sequence[str] | None, num_classes: int, name: str
) -> tuple[str, ...]:
    """The labels that a network names, checked; none if it names none."""
    if given is None:
        return ()
    if isinstance(given, str) or not all(isinstance(each, str) for each in given):
        raise ValueError(f"{name}: labels={given!r}: give a list of names")
    labels = tuple(given)
    if len(labels) != num_classes:
        raise ValueError(
            f"{name}: {len(labels)} labels for {num_classes} classes: name each class"
        )
    if twice := [each for each in labels if labels.count(each) > 1]:
        raise ValueError(f"{name}: two classes are called {twice[0]!r}")
    return labels


def _from_root(stage: Representation, root: Waveform) -> Representation:
    if stage.source is None:
        return root
    return dataclasses.replace(stage, source=_from_root(stage.source, root))


def _digest(*files: pathlib.Path) -> str:
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()
