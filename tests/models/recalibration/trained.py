"""Features and modules whose values are off their start, as in training."""

import torch
from torch import Tensor
from torch.nn import BatchNorm1d

from models.recalibration.srm import StyleRecalibration


def features(*shape: int, seed: int = 0) -> Tensor:
    """Features whose channels and images differ in mean and spread."""
    torch.manual_seed(seed)
    n, c = shape[:2]
    return torch.randn(shape) * (0.5 + 2 * torch.rand(n, c, 1, 1)) + torch.randn(n, c, 1, 1)


def as_if_trained(channels: int, correction: int = 1) -> StyleRecalibration:
    torch.manual_seed(7)
    module = StyleRecalibration(channels, correction=correction)
    with torch.no_grad():
        module.cfc.normal_()
    move_off_start(module.bn)
    return module


@torch.no_grad()
def move_off_start(bn: BatchNorm1d) -> None:
    """Give a batch normalisation weights and statistics that no two channels share."""
    bn.weight.uniform_(0.5, 1.5)
    bn.bias.normal_()
    assert bn.running_mean is not None
    assert bn.running_var is not None
    bn.running_mean.normal_()
    bn.running_var.uniform_(0.5, 1.5)
