"""Gather-excite (GE) with parameters and global extent.

Hu, Shen, Albanie, Sun, Vedaldi: "Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks",
NeurIPS 2018, https://arxiv.org/abs/1810.12348.
"""

import torch
from torch import Tensor, nn

from models.recalibration.base import Recalibration


class GatherExcite(Recalibration):
    """Gate each channel by a learned weighting of all its positions: a global depth-wise convolution (GE-theta).

    Args:
        channels: number of channels C.
        spatial_size: height and width of the features in pixels; the weights are bound to it.
    """

    def __init__(self, channels: int, spatial_size: int) -> None:
        super().__init__()
        self.spatial_size = spatial_size
        self.conv = nn.Conv2d(channels, channels, spatial_size, groups=channels, bias=False)
        self.bn = nn.BatchNorm1d(channels)

    def gate(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (self.spatial_size, self.spatial_size):
            raise ValueError(
                f"gather-excite was built for features of {self.spatial_size}x{self.spatial_size} and got "
                f"{x.shape[-2]}x{x.shape[-1]}: build the network with the image_size of your images"
            )
        return torch.sigmoid(self.bn(self.conv(x).flatten(1)))
