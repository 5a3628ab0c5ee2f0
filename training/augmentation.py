"""Training-time augmentation of a whole batch at once, on the tensor.

One affine warp and a few element-wise operations for the batch cost a small fraction of per-image transforms, and
run wherever the batch is. Each image draws its own parameters.
"""

import math
from typing import Literal

import torch
from monai.transforms import RandomizableTransform
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class AugmentationSpec(BaseModel):
    """How far augmentation may change an image; 0 switches a part off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip_horizontal: bool = True
    flip_vertical: bool = False
    rotation: float = Field(default=15.0, ge=0, le=180)
    """Largest rotation either way, in degrees."""
    scale: float = Field(default=0.1, ge=0, lt=1)
    """Largest relative change of the field of view: 0.1 shows 0.9 to 1.1 of the image's side."""
    translation: float = Field(default=0.05, ge=0, lt=1)
    """Largest shift, as a fraction of the image's size."""
    padding: Literal["zeros", "border", "reflection"] = "border"
    """What comes into view beyond the edge."""
    brightness: float = Field(default=0.1, ge=0, lt=1)
    contrast: float = Field(default=0.1, ge=0, lt=1)
    saturation: float = Field(default=0.1, ge=0, lt=1)
    """Largest relative changes; saturation applies to colour images alone."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Largest standard deviation of Gaussian noise, where the image's range is 0 to 1."""
    erasing: float = Field(default=0.0, ge=0, lt=1)
    """Side of a square set to the image's mean, as a fraction of the image's size (DeVries and Taylor 2017,
    "Improved Regularization of Convolutional Neural Networks with Cutout")."""


class BatchAugmentation(RandomizableTransform):
    """Random flips, affine warp, colour changes, noise and erasing of images (N, C, H, W) in 0 to 1.

    The numbers come from MONAI's ``self.R``: ``set_random_state(seed)`` makes a run repeatable.
    """

    def __init__(self, spec: AugmentationSpec) -> None:
        super().__init__(prob=1.0)
        self.spec = spec

    def __call__(self, data: Tensor) -> Tensor:
        images = self.colour(self.warp(data))
        if self.spec.noise:
            deviation = self.uniform(images, 0, self.spec.noise)
            noise = torch.from_numpy(
                self.R.standard_normal(
                    tuple(images.shape),
                ).astype("float32")
            )
            images = images + deviation * noise.to(images.device)
        if self.spec.erasing:
            images = self.erase(images)
        return images.clamp(0, 1)

    def uniform(self, images: Tensor, low: float, high: float) -> Tensor:
        """One number an image, shaped (N, 1, 1, 1)."""
        numbers = self.R.uniform(low, high, size=len(images)).astype("float32")
        return torch.from_numpy(numbers).to(images.device)[:, None, None, None]

    def sign(self, images: Tensor, random: bool) -> Tensor:
        """1 or, if random, -1 for a half of the images."""
        numbers = self.uniform(images, -1 if random else 0, 1).flatten()
        return torch.where(numbers < 0, -1.0, 1.0)

    def warp(self, images: Tensor) -> Tensor:
        spec = self.spec
        angle = self.uniform(images, -spec.rotation, spec.rotation).flatten() * (math.pi / 180)
        zoom = 1 + self.uniform(images, -spec.scale, spec.scale).flatten()
        mirror_x, mirror_y = self.sign(images, spec.flip_horizontal), self.sign(images, spec.flip_vertical)
        shift_x = 2 * self.uniform(images, -spec.translation, spec.translation).flatten()
        shift_y = 2 * self.uniform(images, -spec.translation, spec.translation).flatten()
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        # Coordinates run from -1 to 1 on both axes, so a rotation of an oblong image needs its aspect ratio.
        ratio = images.shape[-2] / images.shape[-1]
        rows = (
            torch.stack([cos * mirror_x, -sin * mirror_y * ratio, shift_x], dim=1),
            torch.stack([sin * mirror_x / ratio, cos * mirror_y, shift_y], dim=1),
        )
        grid = torch.nn.functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
        return torch.nn.functional.grid_sample(images, grid, padding_mode=spec.padding, align_corners=False)

    def colour(self, images: Tensor) -> Tensor:
        spec = self.spec
        if spec.saturation and images.shape[1] == 3:
            grey = images.mean(dim=1, keepdim=True)
            images = grey + (images - grey) * (1 + self.uniform(images, -spec.saturation, spec.saturation))
        if spec.contrast:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = mean + (images - mean) * (1 + self.uniform(images, -spec.contrast, spec.contrast))
        if spec.brightness:
            images = images * (1 + self.uniform(images, -spec.brightness, spec.brightness))
        return images

    def erase(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        half_y, half_x = self.spec.erasing * height / 2, self.spec.erasing * width / 2
        centre_y, centre_x = self.uniform(images, 0, height), self.uniform(images, 0, width)
        rows = torch.arange(height, device=images.device)[None, None, :, None]
        columns = torch.arange(width, device=images.device)[None, None, None, :]
        inside = ((rows - centre_y).abs() < half_y) & ((columns - centre_x).abs() < half_x)
        return torch.where(inside, images.mean(dim=(2, 3), keepdim=True), images)
