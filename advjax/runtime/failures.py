"""Errors that a user can fix, as one line of text."""

import errno
import importlib.util
import os
import pathlib
import sys
import traceback
from collections.abc import Iterator, Sequence

from advjax.runtime.text import printable

EXTRAS = {
    "sklearn": "svm",
    "art": "bench",
    "statsmodels": "bench",
    "jax_cuda12_plugin": "rehearse-gpu",
    "libtpu": "rehearse-tpu",
    "flatbuffers": "interop",
    "jax2onnx": "interop",
    "onnx": "interop",
    "onnxruntime": "interop",
    "openvino": "openvino",
    "safetensors": "interop",
    "torch": "interop",
    "torchax": "interop",
    "beartype": "test",
    "chex": "test",
    "foolbox": "test",
    "mahotas": "test",
    "python_speech_features": "test",
}
"""Extra of this package that installs a module, or what it requires."""

_ALONE = {"jax2onnx": "jax2onnx==0.17.1"}
"""Packages to install without their requirements, which ask for an older orbax."""

_BACKENDS = {"tpu": "tpu", "cuda": "cuda12", "gpu": "cuda12"}

OURS = ("advjax", "data_prep", "experiments")

_FULL = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system allows",
}


def in_words(error: BaseException, *, smaller: Sequence[str] = ()) -> str | None:
    """One line about an error that a user can fix; None for a likely bug.

    Args:
        error: that ended the program.
        smaller: names of settings that need less memory when they are smaller.
    """
    if isinstance(error, ImportError):
        text = _import(error)
    elif is_out_of_memory(error):
        text = _memory(error, smaller)
    elif isinstance(error, OSError):
        text = _system(error)
    elif isinstance(error, RecursionError):
        text = f"something is nested too deeply ({error})"
    elif isinstance(error, OverflowError):
        text = f"a number is too large ({error})"
    elif isinstance(error, RuntimeError) and _is_about_backends(error):
        text = _backend(error)
    elif isinstance(error, ValueError):
        text = str(error)
    else:
        return None
    if text is None:
        return None
    text = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return printable(text) or f"{type(error).__name__}{_place(error)}"


def in_one_line(error: BaseException, *, most: int = 300) -> str:
    """The start of an error's words on one line, for a table; of a bug with its type.

    Args:
        error: that ended a part of the work.
        most: letters.
    """
    words = in_words(error) or f"{type(error).__name__}: {error}"
    return " ".join(words.split())[:most]


def need(*modules: str, liked: Sequence[str] = ()) -> None:
    """Check that top-level modules are installed, without importing them.

    Args:
        modules: those that the work needs.
        liked: those that it can use; the advice also names the missing ones of them.

    Raises:
        ModuleNotFoundError: a needed module is missing; the message says how to install
            all.
    """
    missing = [module for module in modules if not _is_installed(module)]
    if missing:
        others = [module for module in liked if not _is_installed(module)]
        raise ModuleNotFoundError(
            _missing(missing[0], missing[1:] + others), name=missing[0]
        )


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _missing(module: str, others: Sequence[str] = ()) -> str:
    return f"the package {module} is missing: {install_line(module, *others)}"


def install_line(*modules: str) -> str:
    """Command that installs top-level modules."""
    extras = sorted({EXTRAS[module] for module in modules if module in EXTRAS})
    names = [f'"advjax[{",".join(extras)}]"'] if extras else []
    names += [each.replace("_", "-") for each in modules if each not in EXTRAS]
    line = f"pip install {' '.join(names)}"
    root = pathlib.Path(__file__).parents[2]
    if extras and (root / "launch.sh").exists():
        line += f", or EXTRAS={','.join(extras)} ./launch.sh"
    if alone := [_ALONE[module] for module in modules if module in _ALONE]:
        line += f"; and then pip install --no-deps {' '.join(alone)}"
    return line


def _import(error: ImportError) -> str | None:
    if "pip install" in str(error):
        return str(error)
    for each in _chain(error):
        if not isinstance(each, ImportError) or not each.name:
            continue
        module = each.name.partition(".")[0]
        if module in OURS:
            return None
        if isinstance(each, ModuleNotFoundError) and each.name == module:
            return _missing(module)
        return (
            f"the package {module} cannot be used here ({each}): install it again, "
            f"{install_line(module)}"
        )
    return f"a package cannot be imported: {error}" if str(error) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, the first cause first."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return reversed(found)


def is_out_of_memory(error: BaseException) -> bool:
    """True if the error says that a device or the host has no memory left."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # XLA's errors are RuntimeErrors that begin with the name of a status.
    return isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def _memory(error: BaseException, smaller: Sequence[str]) -> str:
    details = str(error).strip().splitlines()
    text = "out of memory" + (f" ({details[0]})" if details else "")
    if smaller:
        text += f": give a smaller {' or '.join(smaller)}"
    return text if details else text + _place(error)


def _system(error: OSError) -> str:
    if error.errno is None or error.strerror is None:
        return str(error)
    names = [name for name in (error.filename, error.filename2) if name is not None]
    place = " and ".join(map(_name, names))
    reason = error.strerror[:1].lower() + error.strerror[1:]
    if error.errno in _FULL:
        reason = f"{_FULL[error.errno]}: make room; the same command continues"
    return f"{place}: {reason}" if place else reason


def _name(name: object) -> str:
    return (
        name.decode(errors="backslashreplace") if isinstance(name, bytes) else f"{name}"
    )


def _is_about_backends(error: RuntimeError) -> bool:
    words = ("Unable to initialize backend", "Unknown backend", "No visible")
    return any(word in str(error) for word in words)


def _backend(error: RuntimeError) -> str:
    reason = str(error).splitlines()[0].partition(" (set JAX_PLATFORMS")[0]
    asked = os.environ.get("JAX_PLATFORMS", "")
    extra = next(
        (extra for name, extra in _BACKENDS.items() if name in asked.lower()), "cuda12"
    )
    setting = f"JAX_PLATFORMS={asked}: " if asked else ""
    return (
        f"{setting}JAX finds no such device here ({reason}). Unset JAX_PLATFORMS, or "
        f'install its plugin: pip install "advjax[{extra}]"'
    )


def _place(error: BaseException) -> str:
    """Place in this package where an error without a text was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    root = pathlib.Path(__file__).parents[2]
    for frame in reversed(frames):
        path = pathlib.Path(frame.filename)
        if path.is_relative_to(root) and path.relative_to(root).parts[0] in OURS:
            return f" in {path.relative_to(root)}, {frame.name}"
    return ""
