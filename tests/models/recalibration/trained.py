"""Features and modules whose values are off their start, as in training."""

import torch
from torch import Tensor

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
        module.bn.weight.uniform_(0.5, 1.5)
        module.bn.bias.normal_()
        assert module.bn.running_mean is not None
        assert module.bn.running_var is not None
        module.bn.running_mean.normal_()
        module.bn.running_var.uniform_(0.5, 1.5)
    return module
