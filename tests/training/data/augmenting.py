"""Augmentation that is known beforehand: ``Forced`` draws the same point of every range in place of a random one."""

from typing import Any

import torch
from torch import Tensor

from training.data.augmentation import BatchAugmentation
from training.recipe import AugmentationSpec

OFF: dict[str, Any] = {
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotation": 0,
    "scale": 0,
    "translation": 0,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "noise": 0,
    "erasing": 0,
}
LOW, MIDDLE, HIGH = 0.0, 0.5, 1.0


def only(**parts: Any) -> AugmentationSpec:
    return AugmentationSpec(**OFF | parts)


class Forced(BatchAugmentation):
    """Every drawn number stands at the same place of its range, from 0 (lowest) to 1 (highest)."""

    def __init__(self, place: float, **parts: Any) -> None:
        super().__init__(only(**parts))
        self.place = place

    def uniform(self, images: Tensor, low: float, high: float) -> Tensor:
        return torch.full((len(images), 1, 1, 1), low + self.place * (high - low))


def noise_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))
