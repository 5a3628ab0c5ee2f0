"""Squeeze-and-excitation (SE).

Hu, Shen, Sun: "Squeeze-and-Excitation Networks", CVPR 2018, https://arxiv.org/abs/1709.01507.
"""

import torch
from torch import Tensor, nn

from models.recalibration.base import Recalibration


class SqueezeExcitation(Recalibration):
    """Gate the channels by a small fully connected network on all channels' means (paper, section 3).

    Args:
        channels: number of channels C.
        reduction: the hidden layer has C / reduction values, at least one; 16 in the paper.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def gate(self, x: Tensor) -> Tensor:
        squeezed = x.mean(dim=(2, 3))
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(squeezed))))
