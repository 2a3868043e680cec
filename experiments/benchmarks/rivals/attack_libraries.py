"""The rivals' attacks: one small adapter for each library, all for PyTorch.

The library "torch" is PyTorch alone: PGD as a loop of a few lines.

Torchattacks clamps to [0, 1] and ART's DeepFool is only right there: these two attack
the network behind a rescaling of [0, 1] to the bounds. They do not report the success
of each example, as ours and Foolbox's attacks do: a forward pass is added.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from advjax.types import Bounds
from experiments.benchmarks.rivals import pytorch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """Settings that all contestants share; lengths are in the units of the examples.

    Attributes:
        bounds: least and greatest value of an entry.
        num_classes: of the network.
        eps: linf budget of FGSM and PGD.
        pgd_steps: gradients of PGD, each moving by 2.5 * eps / pgd_steps.
        deepfool_steps: linearisations of DeepFool, at most.
        overshoot: of DeepFool, relative to its step.
        cw_steps: gradients of Carlini-Wagner for each constant.
        cw_searches: constants that the binary search tries.
        cw_constant: the first constant, for squared distances in the examples' units.
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
        """Greatest value minus least value."""
        return self.bounds[1] - self.bounds[0]

    @property
    def pgd_step(self) -> float:
        """Length of one of PGD's steps."""
        return 2.5 * self.eps / self.pgd_steps


def build(
    library: str, attack: str, network, terms: Terms, budget: float | None
) -> Callable[[Any, Any], Any]:
    """An attack of `LIBRARIES` on the network, within the budget if there is one.

    It is a function from clean examples [batch, 1, frames, bands] and labels (of
    classes to reach, where the attack is targeted) to adversarial examples.
    """
    name, options = LIBRARIES[library][attack]
    return _ADAPTERS[library](name, options(terms), network, terms, budget)


def _rescale(network, terms: Terms):
    """The network behind the affine map of [0, 1] to the bounds."""
    import torch

    class Rescaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(terms.bounds[0] + terms.width * x)

    return Rescaled().eval()


def _torchattacks(name: str, options, network, terms: Terms, budget):
    import torch
    import torchattacks

    del budget  # one of the options
    unit = _rescale(network, terms)
    attack = getattr(torchattacks, name)(unit, **options)
    if name == "JSMA":
        attack.set_mode_targeted_by_label(quiet=True)

    def run(x, y):
        x_adv = attack((x - terms.bounds[0]) / terms.width, y)
        with torch.no_grad():
            unit(x_adv).argmax(dim=1)
        return x_adv * terms.width + terms.bounds[0]

    return run


def _foolbox(name: str, options, network, terms: Terms, budget):
    import foolbox

    device = pytorch.device()
    model = foolbox.PyTorchModel(network, bounds=terms.bounds, device=device)
    attack = getattr(foolbox.attacks, name)(**options)

    def run(x, y):
        _, clipped, _ = attack(model, x, y, epsilons=budget)
        return clipped

    return run


def _art(name: str, options, network, terms: Terms, budget):
    import numpy as np
    import torch
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    del budget  # one of the options
    unit = _rescale(network, terms)

    def run(x, y):
        estimator = PyTorchClassifier(
            unit,
            torch.nn.CrossEntropyLoss(),
            tuple(x.shape[1:]),
            terms.num_classes,
            clip_values=(0.0, 1.0),
            device_type="cpu" if pytorch.device() == "cpu" else "gpu",
        )
        attack = getattr(evasion, name)(estimator, **options)
        attack.set_params(batch_size=len(x))
        scaled = (x.cpu().numpy() - terms.bounds[0]) / terms.width
        one_hot = np.eye(terms.num_classes, dtype=np.float32)[y.cpu().numpy()]
        x_adv = attack.generate(scaled.astype(np.float32), one_hot)
        estimator.predict(x_adv, batch_size=len(x_adv)).argmax(axis=1)
        return torch.from_numpy(x_adv * terms.width + terms.bounds[0])

    return run


def _loop(name: str, options, network, terms: Terms, budget):
    """The loop that users of PyTorch write: signs of gradients, projected."""
    import torch

    del name, budget  # PGD alone, whose budget is one of the options
    low, high = terms.bounds
    eps, length, steps = (options[each] for each in ("eps", "alpha", "steps"))

    def run(x, y):
        x_adv = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(low, high)
        for _ in range(steps):
            x_adv = x_adv.detach().requires_grad_()
            loss = torch.nn.functional.cross_entropy(network(x_adv), y)
            (gradient,) = torch.autograd.grad(loss, x_adv)
            moved = x_adv.detach() + length * gradient.sign()
            x_adv = (x + (moved - x).clamp(-eps, eps)).clamp(low, high)
        with torch.no_grad():
            network(x_adv).argmax(dim=1)
        return x_adv

    return run


_ADAPTERS = {
    "torch": _loop,
    "torchattacks": _torchattacks,
    "foolbox": _foolbox,
    "art": _art,
}
LIBRARIES: dict[str, dict[str, tuple[str, Callable[[Terms], dict[str, Any]]]]] = {
    "torch": {
        "pgd": ("PGD", lambda t: {
            "eps": t.eps, "alpha": t.pgd_step, "steps": t.pgd_steps,
        }),
    },
    "torchattacks": {
        "fgsm": ("FGSM", lambda t: {"eps": t.eps / t.width}),
        "pgd": ("PGD", lambda t: {
            "eps": t.eps / t.width, "alpha": t.pgd_step / t.width, "steps": t.pgd_steps,
        }),
        "deepfool": ("DeepFool", lambda t: {
            "steps": t.deepfool_steps, "overshoot": t.overshoot,
        }),
        # It does not search for the constant: all steps use one. Distances in [0, 1]
        # make the same constant smaller.
        "carlini_wagner": ("CW", lambda t: {
            "c": t.cw_constant / t.width**2, "steps": t.cw_steps * t.cw_searches,
            "lr": t.cw_rate,
        }),
        "jsma": ("JSMA", lambda t: {"theta": t.theta, "gamma": t.gamma}),
    },
    "foolbox": {
        "fgsm": ("LinfFastGradientAttack", lambda t: {}),
        "pgd": ("LinfProjectedGradientDescentAttack", lambda t: {
            "abs_stepsize": t.pgd_step, "steps": t.pgd_steps,
        }),
        "deepfool": ("L2DeepFoolAttack", lambda t: {
            "steps": t.deepfool_steps, "candidates": t.num_classes,
            "overshoot": t.overshoot,
        }),
        "carlini_wagner": ("L2CarliniWagnerAttack", lambda t: {
            "binary_search_steps": t.cw_searches, "steps": t.cw_steps,
            "stepsize": t.cw_rate, "initial_const": t.cw_constant,
        }),
    },
    "art": {
        "fgsm": ("FastGradientMethod", lambda t: {"eps": t.eps / t.width}),
        "pgd": ("ProjectedGradientDescentPyTorch", lambda t: {
            "eps": t.eps / t.width, "eps_step": t.pgd_step / t.width,
            "max_iter": t.pgd_steps, "num_random_init": 1, "verbose": False,
        }),
        "deepfool": ("DeepFool", lambda t: {
            "max_iter": t.deepfool_steps, "epsilon": t.overshoot,
            "nb_grads": t.num_classes, "verbose": False,
        }),
        "carlini_wagner": ("CarliniL2Method", lambda t: {
            "max_iter": t.cw_steps, "binary_search_steps": t.cw_searches,
            "initial_const": t.cw_constant / t.width**2, "learning_rate": t.cw_rate,
            "verbose": False,
        }),
        "jsma": ("SaliencyMapMethod", lambda t: {
            "theta": t.theta, "gamma": t.gamma, "verbose": False,
        }),
    },
}  # fmt: skip
"""Class and options by library and attack. Foolbox 3 has no JSMA."""
