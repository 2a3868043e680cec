"""Adversarially trained audio classifiers: the tables of Sallo et al. (2020)."""

from experiments import app, flags
from experiments.studies.adversarial_training import study

__doc__ = study.__doc__
flags.declare(__name__, *study.FLAGS)

if __name__ == "__main__":
    app.run(study.main)
