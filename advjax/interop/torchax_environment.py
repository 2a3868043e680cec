"""An environment of torchax that takes tensors made by the module itself.

Its own environment refuses a tensor that `forward` makes (`torch.hann_window(400)`) or
that a module keeps in a list. Such tensors do not depend on the input: here they become
constants of the compiled program. Importing this module imports torchax.
"""

from typing import Any

import torch
from torch.utils import _mode_utils as mode_utils
from torch.utils import _pytree as torch_pytree
from torchax.ops import ops_registry
from torchax.tensor import Environment, OperatorNotFound, Tensor, XLAFunctionMode
from torchax.view import View

from advjax.interop import lowerings


class Lifting(Environment):
    """torchax's operations, with plain tensors as constants."""

    def __init__(self) -> None:
        """All operations that torchax registers."""
        super().__init__()
        self._function_mode = _LiftingMode(self)
        for operation, lowering in lowerings.LOWERINGS.items():
            name = getattr(torch.ops.aten, operation)
            self._lower(name, lowering(self._ops[name].func))
        # Without a way of its own it comes to the operation above.
        self._ops.pop(torch.nn.functional.max_pool2d, None)

    def _lower(self, operation: Any, function: Any) -> None:
        self._ops[operation] = ops_registry.Operator(
            operation,
            function,
            is_jax_function=True,
            is_user_defined=True,
            needs_env=False,
            is_view_op=False,
        )

    def lifted(self, values: Any) -> Any:
        """The values with plain tensors as constants, but for scalars."""

        def lift(tensor: torch.Tensor) -> torch.Tensor:
            if isinstance(tensor, Tensor | View) or tensor.ndim == 0:
                return tensor
            return Tensor(self.t2j_copy(tensor), self)

        return torch_pytree.tree_map_only(torch.Tensor, lift, values)

    def t2j_iso(self, torchtensors: Any) -> Any:
        """The JAX arrays behind tensors."""
        return super().t2j_iso(self.lifted(torchtensors))

    def dispatch(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation; without a traced tensor it may be PyTorch's own."""
        try:
            return super().dispatch(func, types, args, kwargs)
        except OperatorNotFound:
            if _any_traced((args, kwargs)):
                raise
            with mode_utils.no_dispatch(), torch._C.DisableTorchFunction():
                return func(*args, **kwargs or {})


class _LiftingMode(XLAFunctionMode):
    """PyTorch's composite functions compare devices: lift before they are called."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if _any_traced((args, kwargs)):
            args, kwargs = self.env.lifted((args, kwargs))
        return super().__torch_function__(func, types, args, kwargs)


def _any_traced(values: Any) -> bool:
    return any(isinstance(v, Tensor | View) for v in torch_pytree.tree_leaves(values))
