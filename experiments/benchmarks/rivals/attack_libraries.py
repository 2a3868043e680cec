"""The rivals' attacks: one small adapter each, all for PyTorch.

An adapter takes the network and the terms, and gives a function from clean examples
[batch, 1, frames, bands] and labels (of classes to reach, where the attack is targeted)
to adversarial examples. Torchattacks clamps to [0, 1] and ART's DeepFool is only right
there, so that these two attack the network behind a rescaling of [0, 1] to the bounds.
"""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from advjax.types import Bounds
from experiments.benchmarks.rivals import pytorch

NEEDED = "pip install 'advjax[bench]' && pip install --no-deps torchattacks==3.5.1"
"""Torchattacks asks for releases of requests that nothing else here can live with."""


def start(libraries: Sequence[str], seed: int) -> None:
    """Import the libraries and start PyTorch, or say how to install them.

    Raises:
        ValueError: one is missing.
    """
    try:
        for library in ("torch", *libraries):
            importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is missing: {NEEDED}") from error
    pytorch.start(seed)


Adapter = Callable[[Any, "Terms"], Callable[[Any, Any], Any]]
Options = Callable[["Terms"], dict[str, Any]]
"""Of a library's attack."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """What every contestant is given; lengths are in the units of the examples.

    Attributes:
        bounds: least and greatest value of an entry.
        num_classes: speakers.
        eps: linf budget of FGSM and PGD.
        pgd_steps: gradients of PGD, each moving by 2.5 * eps / pgd_steps.
        deepfool_steps: linearisations at most.
        overshoot: of DeepFool.
        cw_steps: gradients of Carlini-Wagner for each constant.
        cw_searches: constants that the binary search tries.
        cw_constant: the first of them, for squared distances in the examples' units.
        cw_rate: Adam's step in tanh space, where the bounds are -1 and 1. The usual
            0.01 moves each of 10,240 entries by 0.08 at first, five times the distance.
        theta: change of an entry by JSMA, as a share of the bounds' width.
        gamma: share of the entries that JSMA may change.
    """

    bounds: Bounds = (-8.0, 8.0)
    num_classes: int = 10
    eps: float = 0.05
    pgd_steps: int = 40
    deepfool_steps: int = 50
    overshoot: float = 0.02
    cw_steps: int = 100
    cw_searches: int = 5
    cw_constant: float = 1.0
    cw_rate: float = 1e-3
    theta: float = 1.0
    gamma: float = 0.01

    @property
    def width(self) -> float:
        """Greatest less least value."""
        return self.bounds[1] - self.bounds[0]

    @property
    def pgd_step(self) -> float:
        """Length of one of PGD's steps."""
        return 2.5 * self.eps / self.pgd_steps


def rescaled(network, terms: Terms):
    """The network behind the affine map of [0, 1] to the bounds."""
    import torch

    class Rescaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(terms.bounds[0] + terms.width * x)

    return Rescaled().eval()


def torchattacks_adapter(name: str, options: Options) -> Adapter:
    """Around an attack of torchattacks.

    It does not say whether it succeeded, as ours and Foolbox do: a forward pass is
    added.
    """

    def adapter(network, terms):
        import torch
        import torchattacks

        unit = rescaled(network, terms)
        attack = getattr(torchattacks, name)(unit, **options(terms))
        if name == "JSMA":
            attack.set_mode_targeted_by_label(quiet=True)

        def run(x, y):
            found = attack((x - terms.bounds[0]) / terms.width, y)
            with torch.no_grad():
                unit(found).argmax(dim=1)
            return found * terms.width + terms.bounds[0]

        return run

    return adapter


def foolbox_adapter(name: str, options: Options, *, budget: bool = False) -> Adapter:
    """Around an attack of Foolbox, within `terms.eps` if it has a budget."""

    def adapter(network, terms):
        import foolbox

        device = pytorch.device()
        model = foolbox.PyTorchModel(network, bounds=terms.bounds, device=device)
        attack = getattr(foolbox.attacks, name)(**options(terms))

        def run(x, y):
            _, clipped, _ = attack(model, x, y, epsilons=terms.eps if budget else None)
            return clipped

        return run

    return adapter


def art_adapter(name: str, options: Options) -> Adapter:
    """Around an attack of ART. A forward pass is added, as for torchattacks."""

    def adapter(network, terms):
        import numpy as np
        import torch
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

        unit = rescaled(network, terms)

        def run(x, y):
            estimator = PyTorchClassifier(
                unit,
                torch.nn.CrossEntropyLoss(),
                tuple(x.shape[1:]),
                terms.num_classes,
                clip_values=(0.0, 1.0),
                device_type="cpu" if pytorch.device() == "cpu" else "gpu",
            )
            attack = getattr(evasion, name)(estimator, **options(terms))
            attack.set_params(batch_size=len(x))
            scaled = (x.cpu().numpy() - terms.bounds[0]) / terms.width
            one_hot = np.eye(terms.num_classes, dtype=np.float32)[y.cpu().numpy()]
            found = attack.generate(scaled.astype(np.float32), one_hot)
            estimator.predict(found, batch_size=len(found)).argmax(axis=1)
            return torch.from_numpy(found * terms.width + terms.bounds[0])

        return run

    return adapter


LIBRARIES: dict[str, dict[str, Adapter]] = {
    "torchattacks": {
        "fgsm": torchattacks_adapter("FGSM", lambda t: {"eps": t.eps / t.width}),
        "pgd": torchattacks_adapter("PGD", lambda t: {
            "eps": t.eps / t.width, "alpha": t.pgd_step / t.width, "steps": t.pgd_steps,
        }),
        "deepfool": torchattacks_adapter("DeepFool", lambda t: {
            "steps": t.deepfool_steps, "overshoot": t.overshoot,
        }),
        # It has no search for the constant: all the steps go into one, and distances
        # in [0, 1] make the same constant smaller.
        "carlini_wagner": torchattacks_adapter("CW", lambda t: {
            "c": t.cw_constant / t.width**2, "steps": t.cw_steps * t.cw_searches,
            "lr": t.cw_rate,
        }),
        "jsma": torchattacks_adapter("JSMA", lambda t: {
            "theta": t.theta, "gamma": t.gamma,
        }),
    },
    "foolbox": {
        "fgsm": foolbox_adapter("LinfFastGradientAttack", lambda t: {}, budget=True),
        "pgd": foolbox_adapter("LinfProjectedGradientDescentAttack", lambda t: {
            "abs_stepsize": t.pgd_step, "steps": t.pgd_steps,
        }, budget=True),
        "deepfool": foolbox_adapter("L2DeepFoolAttack", lambda t: {
            "steps": t.deepfool_steps, "candidates": t.num_classes,
            "overshoot": t.overshoot,
        }),
        "carlini_wagner": foolbox_adapter("L2CarliniWagnerAttack", lambda t: {
            "binary_search_steps": t.cw_searches, "steps": t.cw_steps,
            "stepsize": t.cw_rate, "initial_const": t.cw_constant,
        }),
    },
    "art": {
        "fgsm": art_adapter("FastGradientMethod", lambda t: {"eps": t.eps / t.width}),
        "pgd": art_adapter("ProjectedGradientDescentPyTorch", lambda t: {
            "eps": t.eps / t.width, "eps_step": t.pgd_step / t.width,
            "max_iter": t.pgd_steps, "num_random_init": 1, "verbose": False,
        }),
        "deepfool": art_adapter("DeepFool", lambda t: {
            "max_iter": t.deepfool_steps, "epsilon": t.overshoot,
            "nb_grads": t.num_classes, "verbose": False,
        }),
        "carlini_wagner": art_adapter("CarliniL2Method", lambda t: {
            "max_iter": t.cw_steps, "binary_search_steps": t.cw_searches,
            "initial_const": t.cw_constant / t.width**2, "learning_rate": t.cw_rate,
            "verbose": False,
        }),
        "jsma": art_adapter("SaliencyMapMethod", lambda t: {
            "theta": t.theta, "gamma": t.gamma, "verbose": False,
        }),
    },
}  # fmt: skip
"""Adapters by library and attack; Foolbox has no JSMA since its third version."""
