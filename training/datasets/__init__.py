"""Data sets by name: each reader turns a released layout into splits of items with labels and groups."""

from training.datasets.base import DataSet, Item
from training.datasets.folder import read_folder
from training.datasets.medmnist import read_medmnist
from training.recipe import Recipe

__all__ = ["DataSet", "Item", "read_dataset"]


def read_dataset(recipe: Recipe) -> DataSet:
    """Read the recipe's data set.

    Raises:
        TrainingError: if the data are missing, damaged or not in the expected layout.
    """
    if recipe.dataset == "folder":
        return read_folder(recipe.data, recipe.folder, recipe.provenance)
    return read_medmnist(recipe.dataset, recipe.data, recipe.input, recipe.provenance)
