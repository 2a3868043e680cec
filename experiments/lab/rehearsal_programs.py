"""The programs of an accelerator, at the sizes of the publication."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from jax.sharding import Mesh

from advjax import catalog
from advjax.attacks import ATTACKS
from advjax.attacks.batches import default_slots
from advjax.defences import DEFENCES
from advjax.representations import FRONT_ENDS
from advjax.smoothing.counting.placement import default_tile
from advjax.surf_svm import fitting
from experiments.lab.rehearsal_lowerings import (
    FIRST_STEPS,
    PIPELINE_IMAGES,
    PRECISIONS,
    STAGES,
    TRAINED,
    Lowering,
    attack,
    counting,
    first_step,
    front_end,
    pipeline,
    sequential,
    training,
)


class Program(NamedTuple):
    """One program of the table.

    Attributes:
        unit: of its work, in the plural.
        size: of the work at once on each device, called at the target; halved until it
            fits: `size_name` says of what.
        size_name: tile, slots or batch.
        precision: of the network.
        build: makes it for a mesh and a size.
        units: of a run or, `in_loop`, of a round of its loop, for devices and size.
        in_loop: a run is a loop of unknown length.
        platforms: where it is in the table.
        forms: operations that take XLA's own form; None for the target's own choice.
    """

    unit: str
    size: Callable[[], int]
    size_name: str
    precision: str
    build: Callable[[Mesh, int], Lowering]
    units: Callable[[int, int], int] = lambda devices, size: devices * size
    in_loop: bool = False
    platforms: tuple[str, ...] = ("gpu",)
    forms: frozenset[str] | None = None


def _counting_programs() -> dict[str, Program]:
    found, counts = {}, {"fixed": counting, "sequential": sequential}
    for at in STAGES:
        for precision in PRECISIONS:
            on_tpu = precision == "bfloat16" or (precision, at) == ("float32", "mfbe")
            for name, count in counts.items():
                also = ("tpu",) if on_tpu and name == "fixed" else ()
                found[f"certify-{at}-{precision}-{name}"] = Program(
                    "votes", default_tile, "tile", precision,
                    functools.partial(count, at, precision),
                    in_loop=True, platforms=("gpu", *also),
                )  # fmt: skip
    return found


def _attack_programs() -> dict[str, Program]:
    every = [(name, at, "float32") for at in ("waveform", "mfbe") for name in ATTACKS]
    every.remove(("imperceptible", "mfbe", "float32"))
    every += [("pgd", at, "bfloat16") for at in ("waveform", "mfbe")]
    return {
        f"attack-{name}-{at}-{precision}": Program(
            "steps of an example", default_slots, "slots", precision,
            functools.partial(attack, name, at, precision), in_loop=True,
            platforms=("gpu", "tpu") if precision == "bfloat16" else ("gpu",),
        )
        for name, at, precision in every
    }  # fmt: skip


def _training_programs() -> dict[str, Program]:
    every = [(network, "plain", "float32") for network in TRAINED]
    every += [(network, "plain", "bfloat16") for network in ("rescnn", "resnet18")]
    every += [
        ("rescnn", f"{name}(eps=0.1)" if _has_budget(name) else name, "float32")
        for name in DEFENCES
        if name != "plain"
    ]
    return {
        f"train-{network}-{defence.partition('(')[0]}-{precision}": Program(
            "steps", functools.partial(int, TRAINED[network].batch), "batch", precision,
            functools.partial(training, network, defence, precision),
            units=lambda devices, size: 1,
            platforms=("gpu", "tpu") if precision == "bfloat16" else ("gpu",),
        )
        for network, defence, precision in every
    }  # fmt: skip


def _first_steps() -> dict[str, Program]:
    autoencoder = functools.partial(pipeline, "autoencoder", features=PIPELINE_IMAGES)
    return {
        "study-robust_svm": Program(
            "steps", functools.partial(int, 32), "batch", "float32", autoencoder,
            units=lambda devices, size: 1,
        ),
    } | {
        f"study-{study}": Program(
            "steps", functools.partial(int, step.sizes.batch), "batch", "float32",
            functools.partial(first_step, study), units=lambda devices, size: 1,
        )
        for study, step in FIRST_STEPS.items()
    }  # fmt: skip


def _has_budget(defence: str) -> bool:
    return "eps" in catalog.parameters(defence, DEFENCES)


_ON_TPU = ("mfbe", "scalogram", "constant_q_chunks", "stft_tonnetz")
"""A front end of each kind: Fourier, wavelet, constant-Q, image."""


def _other_programs() -> dict[str, Program]:
    front_ends = {
        f"features-{name}": Program(
            "clips", functools.partial(int, 32), "batch", "float32",
            functools.partial(front_end, name),
            platforms=("gpu", "tpu") if name in _ON_TPU else ("gpu",),
        )
        for name in FRONT_ENDS
        if name != "waveform"
    }  # fmt: skip
    parts = {"logits": 50, "reduce": fitting.AT_ONCE, "autoencoder": 32, "describe": 32}
    return front_ends | {
        f"surf_svm-{part}": Program(
            "images", functools.partial(int, size), "batch", "float32",
            functools.partial(pipeline, part), units=lambda devices, size: size,
        )
        for part, size in parts.items()
    }  # fmt: skip


_OWN: Mapping[str, Program] = {
    **_counting_programs(),
    **_attack_programs(),
    **_training_programs(),
    **_other_programs(),
    **_first_steps(),
}
_COMPARED = (
    "train-rescnn-plain-bfloat16",
    "train-resnet18-plain-bfloat16",
    "attack-pgd-mfbe-bfloat16",
)
"""Programs that are also compiled with each form of all operations of layers."""
_FORMS = {
    "rewritten": frozenset(),
    "stock": frozenset({"clip", "input_gradient", "pool", "sum"}),
}
PROGRAMS: Mapping[str, Program] = {
    **_OWN,
    **{
        f"{name}-{form}": _OWN[name]._replace(forms=chosen)
        for name in _COMPARED
        for form, chosen in _FORMS.items()
    },
}
