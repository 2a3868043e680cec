"""Classifiers whose answers are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np


def linear(weights, bias):
    """Logits `weights @ x + bias` of one example, weights [classes, features]."""
    return jax.tree_util.Partial(
        _linear, jnp.asarray(weights, jnp.float32), jnp.asarray(bias, jnp.float32)
    )


def half_space(normal, offset=0.0):
    """Two classes: class 1 where `normal @ x + offset` is positive, else class 0."""
    normal = np.asarray(normal, np.float32)
    return linear(np.stack([np.zeros_like(normal), normal]), [0.0, offset])


def distance(normal, offset, x, norm="l2"):
    """Distance of x to the plane of `half_space`, the exact radius of any certificate.

    By Hoelder's inequality the perturbation norm's dual measures the normal.
    """
    normal, x = np.asarray(normal, np.float64), np.asarray(x, np.float64)
    dual = {"l2": 2, "l1": np.inf, "linf": 1}[norm]
    return abs(float(normal @ x) + offset) / np.linalg.norm(normal, dual)


def _linear(weights, bias, x):
    return weights @ x.astype(jnp.float32) + bias


def small_network(seed=0, num_features=12, num_classes=3, width=16):
    """Logits of a random two-layer tanh network."""
    generator = np.random.default_rng(seed)
    return jax.tree_util.Partial(
        _two_layers,
        jnp.asarray(generator.normal(size=(width, num_features)), jnp.float32),
        jnp.asarray(generator.normal(size=(num_classes, width)), jnp.float32),
    )


def _two_layers(first, second, x):
    return second @ jnp.tanh(first @ x)
