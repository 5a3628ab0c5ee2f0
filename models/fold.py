"""Fold a trained network for inference: fewer operations, the same values."""

import copy

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from models.recalibration import StyleRecalibration
from models.recalibration.srm import FoldedStyleRecalibration
from models.resnet import ResNet


def fold(network: ResNet) -> ResNet:
    """Return a copy in evaluation mode with every BatchNorm folded away.

    BatchNorm after a convolution goes into its weights; style integration and its BatchNorm become three values a
    channel. The copy is for inference only: it can neither be trained nor loaded with a training checkpoint.
    """
    folded = copy.deepcopy(network).eval()
    fuse(folded, "conv1", "bn1")
    for block in folded.blocks().values():
        fuse(block, "conv1", "bn1")
        fuse(block, "conv2", "bn2")
        if block.bottleneck:
            fuse(block, "conv3", "bn3")
        if block.downsample is not None:
            fuse(block.downsample, "0", "1")
        if isinstance(block.recalibration, StyleRecalibration):
            block.recalibration = FoldedStyleRecalibration(block.recalibration)
    return folded.eval()


def fuse(parent: nn.Module, conv_name: str, bn_name: str) -> None:
    """Replace ``parent``'s convolution by one that includes the BatchNorm, and the BatchNorm by identity."""
    conv, bn = parent.get_submodule(conv_name), parent.get_submodule(bn_name)
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(bn, nn.BatchNorm2d)
    setattr(parent, conv_name, fuse_conv_bn_eval(conv, bn))
    setattr(parent, bn_name, nn.Identity())
