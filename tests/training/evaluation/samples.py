"""Probabilities and labels made up for the figures of merit."""

import numpy as np
from numpy.typing import NDArray

from models.card import StyleReference

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
STYLE_REFERENCE = StyleReference(
    method="made up",
    blocks=["input"],
    training_images=9,
    validation_images=9,
    validation_quantiles=[0.0, 1.0],
    usual_up_to=1.0,
    unlike_beyond=2.0,
    rule="made up",
)


def sample(seed: int, images: int = 120, classes: int = 4) -> tuple[Array, Labels]:
    """Probabilities that know something of the labels; no class missing."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, images - classes)])
    scores = np.exp(random.normal(size=(images, classes)) + 1.2 * np.eye(classes)[labels])
    return scores / scores.sum(axis=1, keepdims=True), labels
