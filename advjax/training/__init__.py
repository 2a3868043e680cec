"""Training: the loop, its recipe, and checkpoints for resuming."""

from advjax.training.batches import Dataset
from advjax.training.loop import Objective, Observer, TrainingRun, fit
from advjax.training.recipe import Recipe

__all__ = ["Dataset", "Objective", "Observer", "Recipe", "TrainingRun", "fit"]
