"""Training-time augmentation of a whole batch at once, on the tensor.

One affine warp and a few element-wise operations for the batch cost a small fraction of per-image transforms, and
run wherever the batch is. Each image draws its own parameters, on the host; noise is drawn where the batch is.
"""

import math

import torch
from monai.transforms import RandomizableTransform
from torch import Tensor

from training.data.overlays import Borders, add_captions, draw_borders
from training.device import sent
from training.recipe import AugmentationSpec


class BatchAugmentation(RandomizableTransform):
    """Random flips, affine warp, colour changes, noise, borders, captions and erasing of images (N, C, H, W) in 0 to 1.

    The numbers come from MONAI's ``self.R``: ``set_random_state(seed)`` makes a run repeatable. ``squash``, ``gamma``,
    ``borders`` and ``caption`` draw none while they are off, so recipes without them train as they did before.
    """

    def __init__(self, spec: AugmentationSpec, size: int | None = None) -> None:
        super().__init__(prob=1.0)
        self.spec = spec
        self.size = size
        """Height and width of the result; None for the images' own."""

    def __call__(self, data: Tensor) -> Tensor:
        borders = draw_borders(data, self.spec.borders, self.uniform) if self.spec.borders else None
        images = self.colour(self.warp(self.window(data), borders))
        if self.spec.noise:
            images = images + self.uniform(images, 0, self.spec.noise) * self.noise(images)
        if borders is not None:
            images = borders.paint(images)
        if self.spec.caption:
            images = add_captions(images, self.spec.caption, self.uniform, self.numbers)
        if self.spec.erasing:
            images = self.erase(images)
        return images.clamp(0, 1)

    def uniform(self, images: Tensor, low: float, high: float) -> Tensor:
        """One random number per image, (N, 1, 1, 1)."""
        return sent(self.R.uniform(low, high, size=len(images)), images.device)[:, None, None, None]

    def numbers(self, images: Tensor, count: int) -> Tensor:
        """As many random numbers in 0 to 1 where the images are."""
        return torch.rand(count, generator=self.generator(images), device=images.device)

    def noise(self, images: Tensor) -> Tensor:
        """Standard normal noise of the images' shape."""
        return torch.randn(images.shape, generator=self.generator(images), device=images.device)

    def generator(self, images: Tensor) -> torch.Generator:
        """A source of many numbers where the images are; what it gives depends on the state of ``self.R`` alone."""
        return torch.Generator(images.device).manual_seed(int(self.R.randint(2**31)))

    def sign(self, images: Tensor, random: bool) -> Tensor:
        """1 or, if random, -1 for a half of the images."""
        numbers = self.uniform(images, -1 if random else 0, 1).flatten()
        return torch.where(numbers < 0, -1.0, 1.0)

    def window(self, images: Tensor) -> Tensor:
        """A window of the images' size out of the images with black round them; whole pixels, so nothing is blurred."""
        margin = self.spec.pad_crop
        if margin == 0:
            return images
        height, width = images.shape[-2:]
        padded = torch.nn.functional.pad(images, [margin] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, top, left, H, W), without a copy
        places = self.R.randint(0, 2 * margin + 1, size=(2, len(images)))
        top, left = sent(places, images.device, torch.int64)
        return windows[torch.arange(len(images), device=images.device), :, top, left]

    def crop(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each image's random resized crop: width, height and centre, where the image runs from -1 to 1; (N,)."""
        area = self.uniform(images, self.spec.random_resized_crop, 1).flatten()
        stretch = torch.exp(self.uniform(images, -math.log(4 / 3), math.log(4 / 3)).flatten() / 2)
        width, height = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
        right, down = (self.uniform(images, -1, 1).flatten() for _ in range(2))
        return width, height, (1 - width) * right, (1 - height) * down

    def warp(self, images: Tensor, borders: Borders | None = None) -> Tensor:
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
        theta = torch.stack(rows, dim=1)
        if spec.random_resized_crop:
            width, height, right, down = self.crop(images)
            theta = theta * torch.stack([width, height], dim=1)[:, :, None]
            theta[:, :, 2] += torch.stack([right, down], dim=1)
        if spec.squash:
            most = math.log(1 + spec.squash)
            stretch = torch.exp(self.uniform(images, -most, most).flatten() / 2)
            theta = theta * torch.stack([stretch, 1 / stretch, torch.ones_like(stretch)], dim=1)[:, None, :]
        if borders is not None:
            theta = borders.inner(theta)
        size = [self.size, self.size] if self.size else list(images.shape[-2:])
        grid = torch.nn.functional.affine_grid(theta, [*images.shape[:2], *size], align_corners=False)
        return torch.nn.functional.grid_sample(images, grid, padding_mode=spec.padding, align_corners=False)

    def colour(self, images: Tensor) -> Tensor:
        spec = self.spec
        if spec.gamma:
            most = math.log(1 + spec.gamma)
            images = images.clamp(min=0) ** torch.exp(self.uniform(images, -most, most))
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
