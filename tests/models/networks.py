"""Networks with random weights, as if trained."""

import torch
from torch import nn

from models.architecture import Architecture
from models.resnet import ResNet


def as_if_trained(architecture: Architecture, seed: int = 0) -> ResNet:
    """A network in evaluation mode, with random scales, shifts and gates, and batch statistics measured on noise."""
    torch.manual_seed(seed)
    network = ResNet(architecture)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("cfc"):
                value.normal_()
            elif name.endswith("bias"):
                value.uniform_(-0.5, 0.5)
            elif value.ndim == 1:
                value.uniform_(0.5, 1.5)
        for block in network.blocks().values():
            last = block.bn3 if block.bottleneck else block.bn2
            last.weight.uniform_(0.1, 0.3)  # features of order 1 however many blocks add up, as training makes them
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None  # the statistics of the next batch replace those at the start
        network.train()(torch.randn(8, architecture.in_channels, architecture.image_size, architecture.image_size))
        for norm in norms:
            norm.momentum = 0.1
    return network.eval()
