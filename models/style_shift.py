"""How unlike the training images an image's style is: the distance to a reference density at every block.

A style is the mean and the logarithm of the standard deviation of each channel, as SRM pools them (Lee, Kim, Nam, ICCV
2019, section 3.1). The image itself, before the first convolution, counts as one more block, with means, deviations and
the strength of its fine detail: a network that has learned not to see noise or compression can't tell of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.resnet import Explanation

INPUT_BLOCK = "input"
STEPS = (1, 2, 4)
"""Distances in pixels at which the image's detail is measured."""
DETAIL = torch.tensor(
    [
        [[0.0, 0.0, 0.0], [0.0, -1.0, 1.0], [0.0, 0.0, 0.0]],
        [[0.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 1.0, 0.0]],
        [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]],
    ]
)[:, None]
"""Difference across, difference down, and Laplacian, as convolutions (3, 1, 3, 3)."""
GRID = 56
"""Rows, about, at which the image's own style is taken."""
FLOOR = 1e-3
"""Added to a measure of detail, in a range of 0 to 1, before its logarithm."""


class Density(NamedTuple):
    """A Gaussian of one block's styles, ready to measure distances by.

    The squared distance of a style s, with z = (s - centre) / scale, is
    ``(sum_k weights_k (z . directions_k)^2 + residual * |z|^2) / D``. Its expectation is 1 for training images.
    """

    centre: Tensor
    """(D,)"""
    scale: Tensor
    """(D,)"""
    directions: Tensor
    """(D, r)"""
    weights: Tensor
    """(r,): 1 / variance along each direction, less the residual's."""
    residual: float
    """1 / variance along all other directions; 0 where the directions are a basis."""


class StyleShift(nn.Module):
    """From the styles of N images to their shift: ``(N,)`` and, for each block, ``(N, B)``.

    A block's value is the logarithm of the squared distance, standardised by validation images: 0 for the usual one, 1
    for one standard deviation more. The image's is the largest of its blocks'.

    Args:
        densities: one for each block, the image's own first.
        mean: of the logarithm over validation images, one a block.
        deviation: likewise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, densities: Sequence[Density], mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.residuals = [density.residual for density in densities]
        for index, density in enumerate(densities):
            for name in ("centre", "scale", "directions", "weights"):
                self.register_buffer(f"{name}_{index}", getattr(density, name).float())
        self.register_buffer("mean", mean.float())
        self.register_buffer("deviation", deviation.float())

    def forward(self, styles: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        by_block = (self.log_distances(styles) - self.mean) / self.deviation
        return by_block.amax(dim=1), by_block

    def log_distances(self, styles: Sequence[Tensor]) -> Tensor:
        """Logarithm of each block's squared distance (N, B), of styles (N, D_b)."""
        distances = []
        for index, (style, residual) in enumerate(zip(styles, self.residuals, strict=True)):
            centre, scale, directions, weights = (
                self.get_buffer(f"{name}_{index}") for name in ("centre", "scale", "directions", "weights")
            )
            z = (style - centre) / scale
            squared = ((z @ directions).square() * weights).sum(dim=1) + residual * z.square().sum(dim=1)
            distances.append(squared / z.shape[1])
        return torch.stack(distances, dim=1).clamp(min=1e-6).log()


def styles_of(pixels: Tensor, explanation: Explanation) -> list[Tensor]:
    """The styles (N, D_b) of images (N, C, H, W) in 0 to 255 and of the network's blocks, the image's own first."""
    blocks = [torch.cat([mu, sigma.log()], dim=1) for mu, sigma in explanation.styles.values()]
    return [input_style(pixels), *blocks]


def input_style(pixels: Tensor) -> Tensor:
    """Means, deviations and detail of images (N, C, H, W) in 0 to 255: (N, 11 C), less for images under 9 pixels.

    Detail is the mean absolute difference of pixels 1, 2 and 4 apart, across and down, and of the Laplacian at these
    distances. All but the means are logarithms, and all are of values in 0 to 1. They are taken at every n-th row and
    column, n odd and such that about ``GRID`` rows remain: more would say little more, and cost a small network a
    tenth of its time.
    """
    count, channels, height, width = pixels.shape
    every = max(1, min(height, width) // GRID) | 1
    seen = pixels[:, :, ::every, ::every] / 255
    mean = seen.mean(dim=(2, 3))
    deviation = (seen - mean[:, :, None, None]).square().mean(dim=(2, 3)).sqrt()
    alone, filters = pixels.reshape(count * channels, 1, height, width), DETAIL.to(pixels)
    details = [
        torch.nn.functional.conv2d(alone, filters, stride=every, dilation=step).abs().mean(dim=(2, 3)) / 255
        for step in STEPS
        if 2 * step < min(height, width)
    ]
    measures = [deviation, *(detail.reshape(count, -1) for detail in details)]
    return torch.cat([mean, *((measure + FLOOR).log() for measure in measures)], dim=1)
