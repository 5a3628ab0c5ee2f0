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
    """The styles (N, D_b) of images (N, C, H, W) in 0 to 1 and of the network's blocks, the image's own first."""
    blocks = [torch.cat([mu, sigma.log()], dim=1) for mu, sigma in explanation.styles.values()]
    return [input_style(pixels), *blocks]


def input_style(pixels: Tensor) -> Tensor:
    """Means, deviations and detail of images (N, C, H, W) in 0 to 1: (N, 11 C), less for images under 9 pixels.

    Detail is the mean absolute difference of pixels 1, 2 and 4 apart, across and down, and of the Laplacian at these
    distances. All but the means are logarithms.
    """
    mean = pixels.mean(dim=(2, 3))
    deviation = (pixels - mean[:, :, None, None]).square().mean(dim=(2, 3)).sqrt()
    measures = [deviation]
    for step in STEPS:
        if 2 * step >= min(pixels.shape[2:]):
            continue
        across = pixels[:, :, :, step:] - pixels[:, :, :, :-step]
        down = pixels[:, :, step:] - pixels[:, :, :-step]
        middle = pixels[:, :, step:-step, step:-step]
        beside = pixels[:, :, step:-step, 2 * step :] + pixels[:, :, step:-step, : -2 * step]
        above = pixels[:, :, 2 * step :, step:-step] + pixels[:, :, : -2 * step, step:-step]
        laplacian = 4 * middle - beside - above
        measures += [values.abs().mean(dim=(2, 3)) for values in (across, down, laplacian)]
    return torch.cat([mean, *((measure + FLOOR).log() for measure in measures)], dim=1)
