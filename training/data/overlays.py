"""What software adds round and on top of an image: borders and captions, drawn on a whole batch at once.

Every number comes from the caller's source: ``draw(images, low, high)`` gives a random number per image, (N, 1, 1, 1).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Draw = Callable[[Tensor, float, float], Tensor]

WIDEST_BORDER = 0.25
"""Of the image's side, on each side; so at least half of the image stays."""
TEXT_HEIGHT = (0.04, 0.1)
"""Of the image's height."""
TEXT_LENGTH = (0.3, 0.9)
"""Of the image's width."""
NEAR_EDGE = 0.1
"""Largest distance of text from the upper or lower edge, as a part of the image's height."""
ROWS, COLUMNS = 5, 4
"""Dots of a letter, as in a dot matrix; an empty column follows."""
LETTERS = 24


class Borders(NamedTuple):
    """Where each image stands between its borders, (N,) each: the whole runs from -1 to 1 on both axes."""

    left: Tensor
    right: Tensor
    top: Tensor
    bottom: Tensor
    level: Tensor
    """Brightness of the border."""

    def inner(self, theta: Tensor) -> Tensor:
        """The affine warps (N, 2, 3) whose image is shrunk to the place between the borders."""
        width, height = (self.right - self.left) / 2, (self.bottom - self.top) / 2
        shrunk = theta.clone()
        shrunk[:, :, 0] = theta[:, :, 0] / width[:, None]
        shrunk[:, :, 1] = theta[:, :, 1] / height[:, None]
        across, down = (self.right + self.left) / 2, (self.bottom + self.top) / 2
        shrunk[:, :, 2] -= shrunk[:, :, 0] * across[:, None] + shrunk[:, :, 1] * down[:, None]
        return shrunk

    def paint(self, images: Tensor) -> Tensor:
        """The images (N, C, H, W) with the borders' level wherever a pixel's centre is beyond their place."""
        height, width = images.shape[-2:]
        y = ((2 * torch.arange(height, device=images.device) + 1) / height - 1)[None, None, :, None]
        x = ((2 * torch.arange(width, device=images.device) + 1) / width - 1)[None, None, None, :]
        left, right, top, bottom, level = (values[:, None, None, None] for values in self)
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        return torch.where(inside, images, level)


def draw_borders(images: Tensor, probability: float, draw: Draw) -> Borders:
    """Borders on one to four sides, black, white or grey; half of them equally wide, like a letterbox."""
    has = draw(images, 0, 1) < probability
    sides = torch.cat([draw(images, 0, 1) < 0.5 for _ in range(4)], dim=1)
    sides = sides | ~sides.any(dim=1, keepdim=True)
    equal = draw(images, 0, 1) < 0.5
    widest = draw(images, 0, WIDEST_BORDER)
    widths = torch.cat([torch.where(equal, widest, draw(images, 0, WIDEST_BORDER)) for _ in range(4)], dim=1)
    left, right, top, bottom = (2 * widths * (sides & has)).flatten(1).unbind(dim=1)
    level = (draw(images, -1, 2).flatten()).clamp(0, 1)  # a third black, a third white, a third grey
    return Borders(left - 1, 1 - right, top - 1, 1 - bottom, level)


def add_captions(images: Tensor, probability: float, draw: Draw, dots: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Images (N, C, H, W) with, on some, a line of random letters near the upper or the lower edge, white or black.

    ``dots(images, count)`` gives that many random numbers in 0 to 1.
    """
    count, height, width = len(images), *images.shape[-2:]
    has, lower, white = draw(images, 0, 1) < probability, draw(images, 0, 1) < 0.5, draw(images, 0, 1) < 0.75
    tall, away = draw(images, *TEXT_HEIGHT) * height, draw(images, 0, NEAR_EDGE) * height
    long, start = draw(images, *TEXT_LENGTH) * width, draw(images, 0, 1)
    top = torch.where(lower, height - away - tall, away)
    left = start * (width - long)
    dot = tall / ROWS
    letters = dots(images, count * ROWS * LETTERS * COLUMNS) < 0.5
    pattern = torch.nn.functional.pad(letters.reshape(count, ROWS, LETTERS, COLUMNS), (0, 1)).flatten(2)
    y = torch.arange(height, device=images.device)[None, None, :, None] + 0.5 - top
    x = torch.arange(width, device=images.device)[None, None, None, :] + 0.5 - left
    within = (y >= 0) & (y < tall) & (x >= 0) & (x < long)
    row, column = (y / dot).long().clamp(0, ROWS - 1), (x / dot).long().clamp(min=0) % pattern.shape[2]
    index = torch.arange(count, device=images.device)[:, None, None]
    marked = pattern[index, row[:, 0], column[:, 0]][:, None]
    return torch.where(has & within & marked, white.to(images.dtype), images)
