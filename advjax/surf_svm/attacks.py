"""Attacks on support vector machines: evasion in feature space, and label flips.

`evasion` moves a test example across a machine's boundary in the space of the machine's
features, not of sound. `flip_labels` poisons a training set. Both papers treat two
classes; the extensions to more are ours and are marked as such.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.optimize import linprog
from scipy.spatial.distance import pdist

from advjax.attacks.base import Attack
from advjax.attacks.gradient_sign import pgd
from advjax.reprs import keep_call
from advjax.surf_svm.machine import Kernel
from advjax.types import Bounds, Features, Label, LogitsFn

DENSITIES = {"laplacian": "cityblock", "gaussian": "sqeuclidean"}
"""SciPy's name of the distance d in a density's kernel exp(-d / bandwidth)."""

STILL = 1e-3
"""Label flips have converged when no weight of the linear programme moves further."""


@keep_call
def evasion(
    *,
    benign: Float[Array | np.ndarray, "points *features"] | None = None,
    benign_labels: Int[Array | np.ndarray, "labels"] | None = None,
    density: str = "laplacian",
    density_weight: float = 0.0,
    bandwidth: float | None = None,
    num_steps: int = 40,
    relative_step: float = 2.5,
    stop: str = "first",
    bounds: Bounds = (-math.inf, math.inf),
) -> Attack:
    """Gradient descent on the margin, towards regions where benign examples are dense.

    Decreases g(x) - density_weight * density(x) within an l2 ball. g is the margin of
    class `y` over its best rival, and the density is the mean of exp(-d(x, x_i) /
    bandwidth) over benign points x_i. The attack is `pgd` with another gradient, so a
    step's length does not depend on the gradient's.

    The attacked function needs smooth logits, such as sums of a machine's pair
    decisions. Numbers of won pairs have only an approximate gradient.

    Args:
        benign: points known to the attacker, in the machine's features; None only
            without a density.
        benign_labels: their labels. Points of class `y` are then left out for each
            example, which is our extension to many classes. None counts all points.
        density: "laplacian" for d the l1 distance, "gaussian" for the squared l2 one.
        density_weight: lambda of the paper, in units of the margin; 0 for no density.
        bandwidth: h of the paper, in units of d. None for the median of d over pairs of
            the first 1000 benign points; a density that is 0 everywhere has no
            gradient.
        num_steps: gradients.
        relative_step: a step's length is relative_step * budget / num_steps.
        stop: "first" returns the first adversarial iterate; "last" takes all steps,
            deeper into the other class.
        bounds: least and greatest value of an entry.

    Returns:
        An untargeted attack within a fixed l2 budget.

    Raises:
        ValueError: invalid options.

    Source: Biggio et al. 2013, arXiv:1708.06131, equation 2 and algorithm 1; kernels of
        the
    l1 and l2 distance in its section on gradients of kernel density estimators.
    Differs: the ball is l2 whatever the density; the length and number of steps are
        fixed,
    where the paper stops once the objective no longer falls.
    """
    attack = pgd(
        num_steps=num_steps,
        relative_step=relative_step,
        norm="l2",
        random_start=False,
        stop=stop,
        loss="margin",
        bounds=bounds,
    )
    if density not in DENSITIES:
        raise ValueError(f"density={density!r}: choose one of {', '.join(DENSITIES)}")
    if not 0 <= density_weight < math.inf:
        raise ValueError(f"density_weight={density_weight}: give 0 or more")
    if density_weight == 0:
        return attack
    if benign is None:
        raise ValueError("a density needs points: give benign, or density_weight=0")
    flat = np.asarray(benign, np.float32).reshape(len(benign), -1)
    labels = None if benign_labels is None else np.asarray(benign_labels, np.int32)
    _check_benign(flat, labels)
    if bandwidth is None:
        some = flat[:1000].astype(np.float64)
        bandwidth = float(np.median(pdist(some, DENSITIES[density])))
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth={bandwidth}: give a distance above 0")

    def step(logits_fn, state):
        y = state.common.y
        counted = np.ones(len(flat), bool) if labels is None else labels != y

        def pull(x):
            near = mean_kernel(
                x.ravel(), flat, counted, density=density, bandwidth=bandwidth
            )
            return density_weight * near

        return attack.step(add_pull(logits_fn, y, pull), state)

    return attack._replace(step=step)


def add_pull(
    logits_fn: LogitsFn, y: Label, pull: Callable[[Features], Float[Array, ""]]
) -> LogitsFn:
    """The same logits, with the gradient of margin - pull for the margin of `y`.

    The values stay, so that success is measured on the classifier.
    """

    def logits_and_pull(x):
        amount = pull(x)
        return logits_fn(x).at[y].add(jax.lax.stop_gradient(amount) - amount)

    return logits_and_pull


def mean_kernel(
    x: Float[Array, "size"],
    others: Float[Array | np.ndarray, "others size"],
    counted: Bool[Array | np.ndarray, "others"],
    *,
    density: str,
    bandwidth: float,
) -> Float[Array, ""]:
    """The mean of exp(-d(x, other) / bandwidth) over the counted points."""
    apart = x[None] - jnp.asarray(others)
    apart = jnp.abs(apart) if density == "laplacian" else jnp.square(apart)
    near = jnp.exp(-apart.sum(axis=1) / bandwidth)
    return jnp.mean(near, where=jnp.asarray(counted))


def _check_benign(flat: np.ndarray, labels: np.ndarray | None) -> None:
    if len(flat) < 2 or not np.isfinite(flat).all():
        raise ValueError(f"{len(flat)} benign points: give at least 2, all finite")
    if labels is None:
        return
    if len(labels) != len(flat):
        raise ValueError(f"{len(flat)} benign points have {len(labels)} benign_labels")
    if len(np.unique(labels)) < 2:
        raise ValueError(
            "benign_labels are of one class, so no benign points remain for its "
            "examples: give two classes, or None if all points are benign"
        )


class FlippedLabels(NamedTuple):
    """A training set's labels after the attack.

    Attributes:
        y: all labels, in the order and of the type they were given.
        flipped: indices of the changed labels, ascending.
        num_rounds: linear programmes solved.
    """

    y: Int[np.ndarray, "examples"]
    flipped: Int[np.ndarray, "flips"]
    num_rounds: int


def flip_labels(
    x: Float[Array | np.ndarray, "examples features"],
    y: Int[Array | np.ndarray, "labels"],
    *,
    rate: float,
    kernel: Kernel,
    cost: float,
    max_rounds: int = 50,
    on_round: Callable[[int, Int[np.ndarray, "flips"]], None] | None = None,
) -> FlippedLabels:
    """Flip the labels that most mislead the machine trained on them (ALFA).

    Every point appears twice, with its own and with another label; a weight in [0, 1]
    says which of the two is trained on. Two steps alternate. A linear programme chooses
    weights under which the hinge loss of the poisoned machine is as far as possible
    below that of a machine trained on clean labels. Then a machine is trained on the
    choice. Neither step increases regulariser + cost * that difference, so they
    converge. Nothing is random.

    Args:
        x: the machine's features; scaled, or fits of the machine may take very long.
        y: labels; any two or more integers.
        rate: at most floor(rate * examples) labels change.
        kernel: of the attacked machine.
        cost: C of the attacked machine.
        max_rounds: linear programmes, at most.
        on_round: called after each programme with the number solved so far and the
            labels flipped by the latest.

    Raises:
        ValueError: invalid options or training sets.

    Source: Xiao, Xiao, Eckert 2012, "Adversarial label flips attack on support vector
    machines", ECAI; 50 rounds and 1e-3: its authors' ALFASVMLib, `CAttackerSVMAlfa`.
    Differs: the authors' code starts from random losses of the poisoned machine, here
        from
    zeros. It flips exactly as many labels as allowed, here fewer if more do not help.
    No class loses its last point. The authors sort the doubled points by weight and
    train on the first half; since the programme's corners are whole numbers, those are
    the points of weight 1, and weighting by it is the same. The extension to more than
    two classes is
    ours: a point's other label is the rival that the clean one-vs-rest machines rank
    highest, its loss is the sum of all machines' losses, of which a flip changes two,
    and one programme holds the budget of all classes.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    _check_labelled(x, y)
    if not 0 <= rate < 1:
        raise ValueError(f"rate={rate}: give a share of the labels from 0 to below 1")
    if not cost > 0:
        raise ValueError(f"cost={cost}: give the C of a machine, above 0")
    if max_rounds < 1:
        raise ValueError(f"max_rounds={max_rounds}: give at least 1")
    num_flips = math.floor(rate * len(y))
    if num_flips == 0:
        return FlippedLabels(y.copy(), np.zeros(0, np.int64), 0)

    classes, clean_labels = np.unique(y, return_inverse=True)
    rows = np.arange(len(y))
    decisions = _decisions(x, clean_labels, kernel, cost)
    others = decisions.copy()
    others[rows, clean_labels] = -np.inf
    rivals = others.argmax(axis=1)

    def rise(decisions):
        losses = hinge_losses(decisions)
        return losses[rows, rivals] - losses[rows, clean_labels]

    clean_rise = rise(decisions)
    poisoned_rise, weights = np.zeros(len(y)), np.zeros(len(y))
    for num_rounds in range(1, max_rounds + 1):
        before = weights
        weights = flip_weights(poisoned_rise - clean_rise, clean_labels, num_flips)
        flipped = np.flatnonzero(weights > 0.5)
        if on_round is not None:
            on_round(num_rounds, flipped)
        # Equal weights give the same machine, which gives the same weights again.
        if num_rounds == max_rounds or np.abs(weights - before).max() <= STILL:
            break
        labels = np.where(weights > 0.5, rivals, clean_labels)
        poisoned_rise = rise(_decisions(x, labels, kernel, cost))
    labels = y.copy()
    labels[flipped] = classes[rivals[flipped]]
    return FlippedLabels(labels, flipped, num_rounds)


def flip_weights(
    costs: Float[np.ndarray, "examples"],
    labels: Int[np.ndarray, "examples"],
    num_flips: int,
) -> Float[np.ndarray, "examples"]:
    """The weights in [0, 1] of the flipped points with the least total cost.

    A point's other copy, with its own label, has the remaining weight.

    Args:
        costs: of flipping each point; negative where a flip helps the attack.
        labels: 0, 1, ... At least one point of each class keeps its label.
        num_flips: the largest sum of weights.

    Raises:
        RuntimeError: the solver failed.
    """
    classes, counts = np.unique(labels, return_counts=True)
    members = (labels == classes[:, None]).astype(np.float64)
    # The constraints are sums over all points and over disjoint classes, so every
    # corner has whole numbers, and the dual simplex ends in a corner.
    found = linprog(
        costs,
        A_ub=np.concatenate([np.ones((1, len(labels))), members]),
        b_ub=np.concatenate([[num_flips], counts - 1]),
        bounds=(0, 1),
        method="highs-ds",
    )
    if not found.success:
        raise RuntimeError(f"the linear programme of the flips: {found.message}")
    return found.x


def hinge_losses(
    decisions: Float[np.ndarray, "examples classes"],
) -> Float[np.ndarray, "examples classes"]:
    """For each possible label of a point, its summed hinge loss over all machines.

    Args:
        decisions: of one-vs-rest machines, positive for their class.
    """
    of_member = np.maximum(0, 1 - decisions)
    of_other = np.maximum(0, 1 + decisions)
    return of_other.sum(axis=1, keepdims=True) - of_other + of_member


def _decisions(
    x: np.ndarray, labels: np.ndarray, kernel: Kernel, cost: float
) -> np.ndarray:
    """Decisions of one-vs-rest machines on their training set."""
    from sklearn.svm import SVC  # an optional dependency

    machine = SVC(C=cost, kernel="poly", **kernel._asdict())
    num_classes = labels.max() + 1
    if num_classes == 2:
        # Each class's machine is the other's with the opposite sign.
        found = machine.fit(x, labels).decision_function(x)
        return np.stack([-found, found], axis=1)
    return np.stack(
        [machine.fit(x, labels == k).decision_function(x) for k in range(num_classes)],
        axis=1,
    )


def _check_labelled(x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y):
        raise ValueError(f"{len(x)} points have {len(y)} labels")
    if not np.isfinite(x).all():
        raise ValueError("some points are not finite: leave them out")
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError("all labels are of one class: give points of at least two")
    if counts.min() < 2:
        raise ValueError(
            f"class {classes[counts.argmin()]} has one point: give every class two"
        )
