"""Data sets by name: each reader turns a released layout into splits of items with labels and groups."""

from training.datasets.base import DataSet, Item
from training.datasets.folder import read_folder
from training.datasets.folds import take_fold
from training.datasets.medmnist import read_medmnist
from training.recipe import Recipe

__all__ = ["DataSet", "Item", "read_dataset"]


def read_dataset(recipe: Recipe) -> DataSet:
    """Read the recipe's data set, or the fold of it that the recipe holds out.

    Raises:
        TrainingError: if the data are missing, damaged or not in the expected layout.
    """
    if recipe.dataset == "folder":
        data = read_folder(recipe.data, recipe.folder, recipe.provenance)
    else:
        data = read_medmnist(recipe.dataset, recipe.data, recipe.input, recipe.provenance)
    return take_fold(data, recipe.folds) if recipe.folds.count else data
