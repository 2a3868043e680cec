"""Training: the loop, its recipe, and checkpoints for resuming."""

from advjax.training.batches import Dataset
from advjax.training.loop import Objective, TrainingRun, fit
from advjax.training.recipe import Recipe

__all__ = ["Dataset", "Objective", "Recipe", "TrainingRun", "fit"]
