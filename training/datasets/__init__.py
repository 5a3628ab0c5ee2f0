"""Data sets by name: each reader turns a released layout into splits of items with labels and groups."""

from training.datasets.acrima import read_acrima
from training.datasets.base import DataSet, Item
from training.datasets.casia2 import read_casia2
from training.datasets.cifar import read_cifar
from training.datasets.dtd import read_dtd
from training.datasets.folder import read_folder
from training.datasets.held_out import take_fold
from training.datasets.image_tree import read_image_tree
from training.datasets.lag import read_lag
from training.datasets.medmnist import read_medmnist
from training.datasets.odir import read_odir
from training.datasets.office_home import read_office_home
from training.errors import TrainingError
from training.recipe import Recipe

__all__ = ["DataSet", "Item", "read_dataset"]


def read_dataset(recipe: Recipe) -> DataSet:
    """Read the recipe's data set, or the fold of it that the recipe holds out.

    Raises:
        TrainingError: if the data are missing, damaged or not in the expected layout, or not for the recipe's task.
    """
    data = read_release(recipe)
    if data.multi_label != (recipe.task == "multi-label"):
        kind = "any number of labels" if data.multi_label else "one class"
        fitting = "multi-label" if data.multi_label else "multi-class or ordinal"
        raise TrainingError(f"an image of {data.name} has {kind}, so task: {recipe.task} can't be; set it to {fitting}")
    return take_fold(data, recipe.folds) if recipe.folds.count else data


def read_release(recipe: Recipe) -> DataSet:
    path, spec, provenance = recipe.data, recipe.folder, recipe.provenance
    match recipe.dataset:
        case "folder":
            return read_folder(path, spec, provenance, recipe.task)
        case "lag":
            return read_lag(path, spec)
        case "odir":
            return read_odir(path, recipe.odir, spec)
        case "casia2":
            return read_casia2(path, spec, provenance)
        case "acrima":
            return read_acrima(path, spec)
        case "cifar10" | "cifar100":
            return read_cifar(recipe.dataset, path, spec, provenance)
        case "dtd":
            return read_dtd(path, recipe.dtd)
        case "office-home":
            return read_office_home(path, recipe.office_home, spec)
        case "imagenet" | "stylized-imagenet":
            return read_image_tree(recipe.dataset, path, spec)
        case medmnist:
            return read_medmnist(medmnist, path, recipe.input, provenance)
