"""The program of the study: `--help` has the text of `study`."""

from experiments import app, flags
from experiments.studies.sound_events import study

__doc__ = study.__doc__
flags.declare(__name__, *study.FLAGS)

if __name__ == "__main__":
    app.run(study.main)
