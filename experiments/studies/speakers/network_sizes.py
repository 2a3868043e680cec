"""Our row in the publication's comparison of data sets and networks."""

import math

import jax

from advjax import catalog
from advjax.classifier import variable_shapes
from advjax.models import MODELS
from advjax.representations import from_definition
from advjax.runs import descriptions
from experiments.lab import cell_files
from experiments.studies.speakers.certified_cells import Certified
from experiments.studies.speakers.published import Comparison


def our_network(cell: Certified, accuracy: float) -> Comparison:
    """The data and the network of a finished cell.

    Args:
        cell: a cell with its task and the provenance of its run.
        accuracy: of its network without noise.
    """
    task = cell_files.read(cell.folder)["task"]
    origin = descriptions.description(cell.folder)["environment"]
    representation = from_definition(cell.settings["representation"])
    num_classes = origin["num_classes"]
    module = catalog.pick(task["model"], MODELS, num_classes=num_classes)
    shapes = variable_shapes(module, representation.feature_shape)["params"]
    return Comparison(
        data=f"ours: {cell.settings['corpus']}, {num_classes} speakers",
        num_classes=num_classes,
        dimensions=tuple(
            math.prod(stage.feature_shape) for stage in representation.chain()
        ),
        num_training=task["crops"]["train"] * num_classes,
        num_test=origin["num_test_clips"],
        network=task["model"],
        num_parameters=sum(leaf.size for leaf in jax.tree.leaves(shapes)),
        accuracy=accuracy,
    )
