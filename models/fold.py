"""Fold a trained network for inference: fewer operations, the same values."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from models.initial_weights import plain_batch_norm
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


def unfolded_state(folded: ResNet) -> tuple[dict[str, Tensor], list[str]]:
    """The values of a network that computes the same as a folded one and can be trained, and its BatchNorms' names.

    What was folded can't be told apart again, so these BatchNorms add a bias and do nothing else:
    :func:`models.initial_weights.settle_batch_norm` gives them statistics.
    """
    state, names = {}, []
    for name, module in folded.named_modules():
        prefix = f"{name}." if name else ""
        match module:
            case nn.Conv2d() if module.bias is not None:
                batch_norm = batch_norm_of(name)
                state[f"{prefix}weight"] = module.weight.detach()
                state |= plain_batch_norm(batch_norm, module.out_channels, module.bias.detach())
                names.append(batch_norm)
            case FoldedStyleRecalibration():
                state[f"{prefix}cfc"] = torch.stack([module.a, module.b], dim=1)
                state |= plain_batch_norm(f"{prefix}bn", len(module.d), module.d)
                names.append(f"{prefix}bn")
            case _:
                own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
                state |= {f"{prefix}{key}": value.detach() for key, value in own.items()}
    return state, names


def batch_norm_of(convolution: str) -> str:
    """The name of the BatchNorm behind a convolution: ``bn2`` of ``conv2``, ``downsample.1`` of ``downsample.0``."""
    parent, _, name = convolution.rpartition(".")
    return f"{parent}.1" if name == "0" else f"{parent}.bn{name[-1]}" if parent else f"bn{name[-1]}"
