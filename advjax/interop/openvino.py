"""Networks evaluated by OpenVINO on a CPU, in float32 or in bfloat16.

XLA's convolutions do not reach the units of a CPU that multiply bfloat16 matrices (AMX,
AVX512-BF16); OpenVINO's do. Noise and front end stay JAX's, in float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from advjax.callables import Unchanging, UnusableNetwork
from advjax.classifier import BaseClassifier
from advjax.interop.black_box import Batch, BlackBox, Rows, check_visible
from advjax.interop.foreign import ForeignClassifier
from advjax.interop.plain_programs import plain
from advjax.padding import in_batches
from advjax.runtime import failures, parallel, targets
from advjax.runtime.text import printable

BATCH = 20
"""Examples of one evaluation: the default tile of votes on a CPU."""

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""Precisions, as OpenVINO names them."""


def through_openvino(
    classifier: BaseClassifier, *, precision: str = "float32", batch: int = BATCH
) -> ForeignClassifier:
    """The classifier with its network evaluated by OpenVINO on this CPU.

    It has no gradients: certificates and black-box attacks take it. In bfloat16 maps
    and kernels are rounded, and sums are in float32. That is another function than the
    classifier's, and certificates hold for it alone.

    Args:
        classifier: with gradients, so that JAX knows its operations.
        precision: "float32" or "bfloat16".
        batch: examples of one evaluation. More are evaluated in parts, fewer padded.

    Raises:
        ImportError: OpenVINO is missing.
        ValueError: a black box, an operation without a translation, an unknown
            precision, another device than a CPU, or a CPU without bfloat16.
    """
    check(precision)
    check_visible(classifier, "leave OpenVINO out")
    network = _Network(classifier, precision, batch)
    box = BlackBox(network.call, network.num_classes, f"{classifier.name} in OpenVINO")
    return ForeignClassifier(
        network=jax.tree_util.Partial(box),
        representation=classifier.representation,
        labels=classifier.labels,
        order=tuple(range(network.num_classes)),
        name=box.name,
        code=f"{classifier.digest()} openvino {precision}",
        has_gradients=False,
    )


def check(precision: str) -> None:
    """Refuse a precision or a machine that OpenVINO cannot serve.

    Raises:
        ImportError: OpenVINO is missing.
        ValueError: an unknown precision, another device than a CPU, or a CPU without
            bfloat16.
    """
    failures.need("openvino")
    if precision not in _HINTS:
        raise ValueError(
            f"precision={precision!r}: OpenVINO computes in {' or '.join(_HINTS)}"
        )
    if not targets.on_cpu():
        raise ValueError(
            "OpenVINO is for CPUs, and the backend is "
            f"{targets.platform()}: leave it out"
        )
    if precision == "bfloat16" and not _has_bfloat16():
        raise ValueError(
            "precision='bfloat16': OpenVINO finds no bfloat16 in this CPU and would "
            "compute in float32; give float32"
        )


def check_network(classifier: BaseClassifier) -> None:
    """Refuse a network that has no translation, whatever its weights.

    Raises:
        ImportError: OpenVINO is missing.
        ValueError: a black box, or an operation without a translation.
    """
    failures.need("openvino")
    check_visible(classifier, "leave OpenVINO out")
    _model(classifier, batch=1)


def _has_bfloat16() -> bool:
    from advjax.interop.openvino_package import openvino

    found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in found


class _Network(Unchanging):
    """A compiled network; its pickle holds the classifier and compiles it again."""

    def __init__(self, classifier: BaseClassifier, precision: str, batch: int) -> None:
        # Arrays of NumPy: callbacks of JAX must not wait for a device of JAX.
        self._made_of = jax.tree.map(np.asarray, classifier), precision, batch
        self._batch = batch
        model = _model(self._made_of[0], batch)
        self.num_classes = model.output(0).shape[1]
        self._compiled = _compiled(model, precision)
        self._idle: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        """The arguments of another one."""
        return _Network, self._made_of

    def call(self, x: Batch) -> Rows:
        """Rows of logits of examples."""
        found = []
        # Devices of one process call at the same time: each needs a request.
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        for batch, count in in_batches(x, self._batch):
            request.infer([batch], share_inputs=True)
            # A copy: the next evaluation writes into the same tensor.
            found.append(request.get_output_tensor(0).data[:count].copy())
        self._idle.append(request)
        return np.concatenate(found)


def _model(classifier: BaseClassifier, batch: int) -> Any:
    """The network of a classifier as a graph, for a batch of features.

    Raises:
        UnusableNetwork: it has an operation without a translation.
    """
    from advjax.interop import openvino_graph

    shape = (batch, *classifier.representation.feature_shape)
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    try:
        # Forms for a TPU are XLA's own; those for a CPU have ten operations for one.
        with targets.compiling_for("tpu"):
            program = jax.make_jaxpr(plain(jax.vmap(classifier.logits), x))(x)
        return openvino_graph.graph_of(program)
    except Exception as error:  # JAX and OpenVINO raise many kinds
        text = f"{error}".strip() or type(error).__name__
        reason = printable(text.splitlines()[0])[:300]
        raise UnusableNetwork(
            f"{classifier.name} cannot be evaluated by OpenVINO ({reason}): "
            "leave it out"
        ) from error


def _compiled(model: Any, precision: str) -> Any:
    from advjax.interop.openvino_package import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": parallel.num_cores(),
        "NUM_STREAMS": 1,
        # The cores of this process are chosen by who started it.
        "ENABLE_CPU_PINNING": False,
    }
    return openvino.Core().compile_model(model, "CPU", settings)
