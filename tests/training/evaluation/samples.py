"""Probabilities and labels made up for the figures of merit."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def sample(seed: int, images: int = 120, classes: int = 4) -> tuple[Array, Labels]:
    """Probabilities that know something of the labels; no class missing."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, images - classes)])
    scores = np.exp(random.normal(size=(images, classes)) + 1.2 * np.eye(classes)[labels])
    return scores / scores.sum(axis=1, keepdims=True), labels
