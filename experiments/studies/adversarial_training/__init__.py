"""Adversarially trained audio classifiers: the study of Sallo et al. (2020)."""
