"""Adversarial attacks on sound event classifiers: Subramanian et al. (2019)."""

from experiments import app, flags
from experiments.studies.sound_events import study

__doc__ = study.__doc__
flags.declare(__name__, *study.FLAGS)

if __name__ == "__main__":
    app.run(study.main)
