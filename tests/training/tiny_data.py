"""Makers of tiny data sets and recipes: small enough for seconds, separable enough for a few steps to learn."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.recipe import Recipe, check_recipe

# Images of each class by split: the training split is imbalanced, the others are not.
COUNTS = {"train": (96, 60, 36, 24, 24), "val": (12, 12, 12, 12, 12), "test": (16, 16, 16, 16, 16)}


def brightness_images(labels: NDArray[np.int64], size: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """Images (N, size, size, channels) whose brightness tells the class, not quite without fail."""
    random = np.random.default_rng(seed)
    level = 40 + 40 * labels + random.normal(0, 14, len(labels))
    images = level[:, None, None, None] + random.normal(0, 20, (len(labels), size, size, channels))
    return images.clip(0, 255).astype(np.uint8)


def medmnist_arrays(
    counts: Mapping[str, Sequence[int]] = COUNTS, *, size: int = 28, channels: int = 3, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """The six arrays of MedMNIST's layout: grey images have no channel axis, labels are a column."""
    random = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {}
    for index, (split, of_class) in enumerate(counts.items()):
        labels = random.permutation(np.repeat(np.arange(len(of_class)), of_class))
        images = brightness_images(labels, size, channels, seed + 1 + index)
        arrays[f"{split}_images"] = images[..., 0] if channels == 1 else images
        arrays[f"{split}_labels"] = labels.astype(np.uint8)[:, None]
    return arrays


def write_medmnist(path: Path, arrays: Mapping[str, Any]) -> Path:
    """Write arrays as MedMNIST's files are written: a compressed ``.npz``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def write_tree(root: Path, counts: Mapping[str, int], *, size: tuple[int, int] = (12, 12), seed: int = 0) -> list[str]:
    """Write a folder of grey PNG files for each class; return the files' names relative to ``root``."""
    width, height = size
    files = []
    for index, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True, exist_ok=True)
        images = brightness_images(np.full(count, index), max(size), 1, seed + index)
        for number, image in enumerate(images):
            name = f"{label}/{number:03}.png"
            Image.fromarray(image[:height, :width, 0]).save(root / name)
            files.append(name)
    return files


def write_manifest(root: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write ``manifest.csv`` with the keys of the first row as its columns."""
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def recipe_content(data: Path, **changes: Any) -> dict[str, Any]:
    """A valid recipe as YAML would give it; a mapping in ``changes`` is merged into its section."""
    content: dict[str, Any] = {
        "name": "tiny",
        "dataset": "retinamnist",
        "data": str(data),
        "task": "ordinal",
        "network": {"depth": 18, "stem": "small", "width": 0.1},
        "epochs": 2,
        "batch_size": 16,
        "optimiser": {"learning_rate": 0.005},
        "augmentation": {"brightness": 0, "contrast": 0, "saturation": 0},
        "device": "cpu",
        "threads": 1,
        "card": {
            "description": "Brightness of made-up images.",
            "intended_use": "Tests of this project.",
            "modality": "colour fundus photograph",
            "limits": ["Knows nothing of retinas."],
        },
    }
    for key, value in changes.items():
        content[key] = content.get(key, {}) | value if isinstance(value, dict) else value
    return content


def tiny_recipe(data: Path, **changes: Any) -> Recipe:
    return check_recipe(recipe_content(data, **changes), "tiny recipe")
