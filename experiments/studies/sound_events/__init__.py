"""Adversarial attacks on sound event classifiers: Subramanian et al. (2019)."""
