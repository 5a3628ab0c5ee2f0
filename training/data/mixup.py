"""mixup and CutMix: train on blends of two images with the same blend of their labels.

Zhang, Cisse, Dauphin, Lopez-Paz: "mixup: Beyond Empirical Risk Minimization", ICLR 2018,
https://arxiv.org/abs/1710.09412. Yun et al.: "CutMix: Regularization Strategy to Train Strong Classifiers with
Localizable Features", ICCV 2019, https://arxiv.org/abs/1905.04899.
"""

from typing import Self

import numpy as np
import torch
from monai.transforms import Randomizable
from torch import Tensor

from training.device import sent
from training.recipe import LossSpec


class MixUp(Randomizable):
    """Blend each image of a batch with another one; the part is drawn from Beta(alpha, alpha) for each image.

    MONAI has a transform of this name, which takes neither labels of shape (N, K) nor tensors on a GPU.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, data: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Blend images (N, C, H, W) and class probabilities (N, K) alike."""
        weight = sent(self.R.beta(self.alpha, self.alpha, len(data)), data.device)
        other = sent(self.R.permutation(len(data)), data.device, torch.int64)
        images, labels = weight[:, None, None, None], weight[:, None]
        return images * data + (1 - images) * data[other], labels * targets + (1 - labels) * targets[other]


class CutMix(Randomizable):
    """Put a rectangle of another image into each image of a batch, and its share of the area into the target.

    The rectangle has the image's proportions and a part ``1 - Beta(alpha, alpha)`` of its area, less what falls
    beyond the edge. MONAI's transform of this name gives the label of the whole rectangle where a part of it was
    cut off at the edge.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, data: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Blend images (N, C, H, W) and class probabilities (N, K) alike."""
        count, _, height, width = data.shape
        side = np.sqrt(1 - self.R.beta(self.alpha, self.alpha, count))
        rows = sent(self.inside(side * height, height), data.device, torch.bool)
        columns = sent(self.inside(side * width, width), data.device, torch.bool)
        other = sent(self.R.permutation(count), data.device, torch.int64)
        box = rows[:, :, None] & columns[:, None, :]
        part = box.float().mean(dim=(1, 2))[:, None]
        return torch.where(box[:, None], data[other], data), (1 - part) * targets + part * targets[other]

    def inside(self, length: np.ndarray, size: int) -> np.ndarray:
        """Which positions (N, size) lie within ``length`` of a centre drawn anywhere in the image."""
        centre = self.R.randint(0, size, size=len(length))
        first = np.clip(np.round(centre - length / 2), 0, size)[:, None]
        last = np.clip(np.round(centre + length / 2), 0, size)[:, None]
        positions = np.arange(size)
        inside: np.ndarray = (positions >= first) & (positions < last)
        return inside


class OneOf(Randomizable):
    """For each batch, one of several blends, all of them equally often and from one random state."""

    def __init__(self, *blends: MixUp | CutMix) -> None:
        self.blends = blends

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> Self:
        super().set_random_state(seed, state)
        for blend in self.blends:
            blend.set_random_state(state=self.R)
        return self

    def __call__(self, data: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.blends[self.R.randint(len(self.blends))](data, targets)


def create_blend(spec: LossSpec) -> MixUp | CutMix | OneOf | None:
    """What the recipe asks for: mixup, CutMix, one of the two for each batch, or nothing."""
    if spec.mixup and spec.cutmix:
        return OneOf(MixUp(spec.mixup), CutMix(spec.cutmix))
    if spec.cutmix:
        return CutMix(spec.cutmix)
    return MixUp(spec.mixup) if spec.mixup else None
