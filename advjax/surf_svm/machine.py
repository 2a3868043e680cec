"""The decision function of a support vector machine with a polynomial kernel.

scikit-learn fits the machine. Here it is evaluated one example at a time, so that
attacks and smoothing compile through it.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from advjax.types import Logits


class Kernel(NamedTuple):
    """(gamma <x, z> + coef0)^degree, with scikit-learn's names and order."""

    degree: int
    gamma: float
    coef0: float

    def __call__(
        self,
        x: Float[Array, "*batch features"],
        others: Float[Array, "others features"],
    ) -> Float[Array, "*batch others"]:
        """The kernel of x with each of the others, in full float32."""
        product = jnp.dot(x, others.T, precision=lax.Precision.HIGHEST)
        # A product, because the power of a negative base would use a logarithm.
        base = self.gamma * product + self.coef0
        return jnp.prod(jnp.stack([base] * self.degree), axis=0)


class Machine(NamedTuple):
    """A fitted one-vs-one machine as dense arrays.

    Attributes:
        support: the support vectors.
        coefficients: of each pair's decision, one per support vector; zero for vectors
            of neither class.
        intercept: of each pair's decision.
    """

    support: Float[Array | np.ndarray, "support features"]
    coefficients: Float[Array | np.ndarray, "support pairs"]
    intercept: Float[Array | np.ndarray, "pairs"]


def class_pairs(num_classes: int) -> Int[np.ndarray, "pairs 2"]:
    """The pairs (i, j), i < j, in scikit-learn's order."""
    return np.asarray([*itertools.combinations(range(num_classes), 2)])


def pair_decisions(
    machine: Machine, kernel: Kernel, x: Float[Array, "features"]
) -> Float[Array, "pairs"]:
    """Decisions of all pairs; positive where the first class of a pair wins.

    This is scikit-learn's `decision_function_shape="ovo"`. With two classes the sign is
    the opposite of scikit-learn's, which is then positive for the second class.
    """
    values = kernel(x, jnp.asarray(machine.support))
    coefficients = jnp.asarray(machine.coefficients)
    found = jnp.dot(values, coefficients, precision=lax.Precision.HIGHEST)
    return found + jnp.asarray(machine.intercept)


def logits_of_pairs(decisions: Float[Array, "pairs"], num_classes: int) -> Logits:
    """Each class's number of won pairs, plus its squashed sum of decisions.

    The squashed sum is within 1/3 of zero. This is scikit-learn's
    `decision_function_shape="ovr"`. The greatest entry is the
    class with the most votes and, of several, the greatest sum; scikit-learn's
    `predict` takes the first of them. For two classes the logits are (d, -d).

    The number of won pairs has no gradient. In the backward pass it is the sum of
    sigmoids of the decisions, which shows an attacker which votes can be changed
    (Athalye et al. 2018, arXiv:1802.00420: backward pass approximation). Training
    leaves decisions beyond 1 and -1, where steeper sigmoids would have no gradient.
    """
    if num_classes == 2:
        return jnp.stack([decisions[0], -decisions[0]])
    first, second = class_pairs(num_classes).T
    # In a tie scikit-learn gives the vote to the first class of the pair.
    soft = jax.nn.sigmoid(decisions)
    won = soft + lax.stop_gradient((decisions >= 0).astype(soft.dtype) - soft)
    zeros = jnp.zeros(num_classes, decisions.dtype)
    votes = zeros.at[first].add(won).at[second].add(1 - won)
    sums = sums_of_pairs(decisions, num_classes)
    return votes + sums / (3 * (jnp.abs(sums) + 1))


def sums_of_pairs(decisions: Float[Array, "pairs"], num_classes: int) -> Logits:
    """For each class, the sum of its decisions against all others, which is smooth."""
    first, second = class_pairs(num_classes).T
    zeros = jnp.zeros(num_classes, decisions.dtype)
    return zeros.at[first].add(decisions).at[second].add(-decisions)


def machine_of(fitted) -> Machine:
    """The machine in a fitted `sklearn.svm.SVC`.

    Args:
        fitted: with a polynomial kernel. For pairs, scikit-learn keeps the coefficients
            of a class's vectors against each of the other classes.
    """
    ends = np.concatenate([[0], np.cumsum(fitted.n_support_)])
    pairs = class_pairs(len(fitted.classes_))
    coefficients = np.zeros((len(fitted.support_vectors_), len(pairs)), np.float64)
    for column, (i, j) in enumerate(pairs):
        of_i, of_j = (slice(ends[k], ends[k + 1]) for k in (i, j))
        coefficients[of_i, column] = fitted.dual_coef_[j - 1, of_i]
        coefficients[of_j, column] = fitted.dual_coef_[i, of_j]
    intercept = np.asarray(fitted.intercept_, np.float64)
    if len(pairs) == 1:
        # scikit-learn's decision for two classes is positive for the second.
        coefficients, intercept = -coefficients, -intercept
    return Machine(
        fitted.support_vectors_.astype(np.float32),
        coefficients.astype(np.float32),
        intercept.astype(np.float32),
    )
