"""A public checkpoint made up: torchvision's names and shapes, random values."""

import torch
from torch import Tensor

WIDTH = 1 / 16
BLOCKS = [f"layer{stage}.{index}" for stage in (1, 2, 3, 4) for index in (0, 1)]


def batch_norm(prefix: str, channels: int) -> dict[str, Tensor]:
    return {
        f"{prefix}.weight": torch.randn(channels),
        f"{prefix}.bias": torch.randn(channels),
        f"{prefix}.running_mean": torch.randn(channels),
        f"{prefix}.running_var": torch.rand(channels) + 0.5,
        f"{prefix}.num_batches_tracked": torch.tensor(12_345),
    }


def public_state(classes: int = 1000) -> dict[str, Tensor]:
    """A state_dict as torchvision's resnet18 has it, 4 channels wide, with random values."""
    torch.manual_seed(5)
    state = {"conv1.weight": torch.randn(4, 3, 7, 7), **batch_norm("bn1", 4)}
    for block in BLOCKS:
        stage, first = int(block[5]), block.endswith(".0")
        channels = 4 * 2 ** (stage - 1)
        before = channels // 2 if first and stage > 1 else channels
        state |= {f"{block}.conv1.weight": torch.randn(channels, before, 3, 3), **batch_norm(f"{block}.bn1", channels)}
        state |= {f"{block}.conv2.weight": torch.randn(channels, channels, 3, 3)}
        state |= batch_norm(f"{block}.bn2", channels)
        if first and stage > 1:
            state |= {f"{block}.downsample.0.weight": torch.randn(channels, before, 1, 1)}
            state |= batch_norm(f"{block}.downsample.1", channels)
    return state | {"fc.weight": torch.randn(classes, 32), "fc.bias": torch.randn(classes)}
