"""advjax: adversarial robustness of audio classifiers, in JAX."""

__version__ = "0.1.0"
