"""PyTorch modules as logits functions, through torchax."""

import contextlib
import functools
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from advjax.callables import UnusableNetwork
from advjax.interop.black_box import Batch, BlackBox
from advjax.types import AnyArray, Logits, LogitsFn


def from_torch(module: Any, *, black_box: bool = False) -> LogitsFn:
    """A PyTorch module as a logits function that JAX compiles and differentiates.

    The weights are copied and traced: later changes of the module are not seen. The
    module gets batches of one example, [1, *features], and returns [1, classes].
    Recurrent layers are unrolled over time, and may take minutes to compile.

    Args:
        module: a `torch.nn.Module` in evaluation mode.
        black_box: call PyTorch itself, without gradients. Certificates and black-box
            attacks then take any module of waveforms [batch, samples].

    Raises:
        ImportError: PyTorch or torchax is missing.
        ValueError: no module, or one in training mode. The function itself raises it
            for an operation that torchax lacks.
    """
    if black_box:
        check_module(module)
        name = f"the PyTorch module {type(module).__name__}"
        return jax.tree_util.Partial(_HostModule(module, name))
    environment()
    check_module(module)
    return jax.tree_util.Partial(_Traced(module), states_of(module))


def check_module(module: Any) -> None:
    """Refuse anything but a module in evaluation mode.

    Raises:
        ValueError: it is no module, or a part of it is in training mode.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ValueError(
            f"module is of type {type(module).__name__}: give a torch.nn.Module"
        )
    for name, part in module.named_modules():
        if part.training:
            raise ValueError(
                f"module is in training mode ({name or type(part).__name__}), where "
                "batch norm and dropout depend on the batch: call module.eval() first"
            )


def states_of(module: Any) -> dict[str, np.ndarray]:
    """Parameters, buffers and plain tensors of a module and its parts, by path.

    Numbers of 64 bits become numbers of 32 bits, as everywhere in JAX.
    """
    import torch

    found = dict(module.named_parameters(remove_duplicate=False))
    found |= dict(module.named_buffers(remove_duplicate=False))
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                found[f"{path}.{name}".lstrip(".")] = value
    arrays = {name: value.detach().cpu().numpy() for name, value in found.items()}
    return {
        name: np.array(value, jax.dtypes.canonicalize_dtype(value.dtype))
        for name, value in arrays.items()
    }


def recurrent_remark(module: Any) -> str:
    """A sentence on the recurrent layers of a module; empty if it has none."""
    import torch

    kinds = (torch.nn.RNNBase, torch.nn.RNNCellBase)
    found = {type(p).__name__ for p in module.modules() if isinstance(p, kinds)}
    if not found:
        return ""
    return (
        f"It has recurrent layers ({', '.join(sorted(found))}), which are unrolled "
        "over time: compiling may take minutes, and gradients longer. With "
        "black_box=True it is taken without gradients."
    )


def call_module(module: Any, x: Batch) -> Any:
    """The module's own output for a batch, as an array where it is a tensor."""
    import torch

    first = next(module.parameters(), torch.zeros(0))
    with torch.no_grad():
        # A copy: JAX's arrays are read-only, and a module may write into its input.
        found = module(torch.from_numpy(np.array(x)).to(first.device))
    return found.cpu().numpy() if isinstance(found, torch.Tensor) else found


class _HostModule:
    """The module as a black box, whose classes are counted at the first call."""

    def __init__(self, module: Any, name: str) -> None:
        self.module, self.name = module, name
        self.by_shape: dict[tuple[int, ...], BlackBox] = {}

    def __call__(self, x: AnyArray) -> Logits:
        if x.shape not in self.by_shape:
            call = functools.partial(call_module, self.module)
            rows = call(np.zeros((1, *x.shape), np.float32))
            if getattr(rows, "ndim", 0) != 2:
                raise UnusableNetwork(not_rows(self.name, rows))
            self.by_shape[x.shape] = BlackBox(call, rows.shape[1], self.name)
        return self.by_shape[x.shape](x)


def not_rows(name: str, found: Any) -> str:
    """The refusal of a network whose output for a batch is no rows of logits."""
    shape = getattr(found, "shape", None)
    what = type(found).__name__ if shape is None else f"an array of shape {list(shape)}"
    return f"{name} returns {what}: it has to return one tensor [batch, classes]"


class _Traced:
    """The module as a function of its states and one example."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, states: dict[str, Any], x: AnyArray) -> Logits:
        import torch

        env = environment()
        precision = jax.config.jax_default_matmul_precision or "float32"
        with (
            jax.default_matmul_precision(precision),
            # PyTorch's own rules.
            jax.numpy_rank_promotion("allow"),
            jax.numpy_dtype_promotion("standard"),
            # Drawn numbers are the same in every call, and no tracer stays behind.
            env.override_property(prng=jax.random.key(0)),
            _without_fast_path(),
            warnings.catch_warnings(),
            torch.no_grad(),
        ):
            # On every number of 64 bits, which becomes one of 32 bits.
            warnings.filterwarnings("ignore", "Explicitly requested dtype")
            tensors = env.j2t_iso({k: jax.numpy.asarray(v) for k, v in states.items()})
            batch = env.j2t_iso(jax.numpy.asarray(x)[None])
            try:
                with env:
                    logits = torch.func.functional_call(
                        self.module, tensors, (batch,), tie_weights=False
                    )
                logits = env.t2j_iso(logits)
            except Exception as error:
                raise UnusableNetwork(_explained(error)) from error
        return logits[0] if getattr(logits, "ndim", 0) == 2 else logits


@functools.cache
def environment() -> Any:
    """The operations of torchax, in an environment of our own.

    Raises:
        ImportError: PyTorch or torchax is missing.
    """
    with _settings_kept():
        from advjax.interop import torchax_environment

    return torchax_environment.Lifting()


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Undo the settings that importing torchax changes for everybody."""
    import torch

    option = "jax_pjrt_client_create_options"
    fast, before = torch.backends.mha.get_fastpath_enabled(), dict(os.environ)
    config = getattr(jax.config, option, None)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for name in set(os.environ) - set(before):
            del os.environ[name]
        if getattr(jax.config, option, None) != config:
            jax.config.update(option, config)


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """Transformer layers by their parts, not by PyTorch's own fused kernel."""
    import torch

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _explained(error: Exception) -> str:
    """The refusal of a module that torchax cannot trace."""
    offer = "; with black_box=True it is taken without gradients"
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    if missing := re.search(r"Operator with name (\S+) has no lowering", text):
        return f"torchax lacks the operation {missing[1]} of the module{offer}"
    return f"torchax cannot trace the module ({type(error).__name__}: {text}){offer}"
