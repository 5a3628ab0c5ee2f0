"""The recipe of a training run: everything that decides it, checked.

The included recipes are in ``training/recipes``.
"""

from training.recipe.augmentation_spec import AugmentationSpec
from training.recipe.dataset_specs import ColumnSpec, DtdSpec, FolderSpec, OdirSpec, OfficeHomeSpec
from training.recipe.loading import check_recipe, load_package_recipe, load_recipe, shipped_recipes
from training.recipe.recipe import (
    CalibrationSpec,
    FoldSpec,
    InputChoice,
    LossSpec,
    OptimiserSpec,
    Provenance,
    Recipe,
    ScheduleSpec,
)

__all__ = [
    "AugmentationSpec",
    "CalibrationSpec",
    "ColumnSpec",
    "DtdSpec",
    "FoldSpec",
    "FolderSpec",
    "InputChoice",
    "LossSpec",
    "OdirSpec",
    "OfficeHomeSpec",
    "OptimiserSpec",
    "Provenance",
    "Recipe",
    "ScheduleSpec",
    "check_recipe",
    "load_package_recipe",
    "load_recipe",
    "shipped_recipes",
]
