"""A fit of a few steps, and what its checkpoints hold."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from tests.training.tiny_data import tiny_recipe
from training.fitting.engine import fit
from training.run import Run

FEW = {"train": (8, 5, 3, 2, 2), "val": (2, 2, 2, 2, 2), "test": (1, 1, 1, 1, 1)}
"""Images of each class; 20 to train on."""
AUGMENTATION_OFF: dict[str, Any] = {"flip_horizontal": False, "rotation": 0, "scale": 0, "translation": 0}


def quick(data: Path, folder: Path, *, overwrite: bool = False, **changes: Any) -> Run:
    """An epoch of two steps, where the recipe does not say otherwise."""
    recipe = tiny_recipe(data, **{"epochs": 1, "batch_size": 10} | changes)
    return fit(recipe, folder, overwrite=overwrite, progress=False)


def state(run: Run, which: str = "last", part: str = "network") -> dict[str, Tensor]:
    """Weights by name, from the checkpoint itself."""
    content: dict[str, Tensor] = torch.load(run.checkpoint(which), weights_only=True)[part]
    return content


def validation_auc(run: Run, which: str, data: Path) -> float:
    """scikit-learn's AUC of a checkpoint, on images normalised by hand."""
    arrays = np.load(data)
    train = arrays["train_images"] / 255
    mean, std = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    images = torch.from_numpy((arrays["val_images"] / 255 - mean) / std).permute(0, 3, 1, 2).float().contiguous()
    with torch.inference_mode():
        probabilities = run.network(which)(images).softmax(dim=1).double().numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return float(roc_auc_score(arrays["val_labels"][:, 0], probabilities, multi_class="ovr", average="macro"))
