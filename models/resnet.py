"""The ResNet family with recalibration at the end of every residual branch.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385. Parameter names are torchvision's, and the gate is ``layerN.M.recalibration``.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.architecture import Architecture
from models.recalibration import Recalibration, create_recalibration
from models.recalibration.srm import StyleGate
from models.recalibration.style_function import per_map, style_pooling

# Blocks of each stage, by depth; and whether the block is a bottleneck.
IMAGENET_STAGES = {
    18: ([2, 2, 2, 2], False),
    34: ([3, 4, 6, 3], False),
    50: ([3, 4, 6, 3], True),
    101: ([3, 4, 23, 3], True),
    152: ([3, 8, 36, 3], True),
}
CIFAR_DEPTHS = (20, 32, 56, 110)


class Explanation(NamedTuple):
    """What a network concluded and what it relied on."""

    logits: Tensor
    """(N, K)"""
    recalibration_weights: dict[str, Tensor]
    """Block name, such as ``layer1.0``, to the gates (N, C_b) of its channels; empty without recalibration."""
    class_activation: Tensor
    """(N, K, h, w): the classifier at each position. Its mean over the positions is the logit, exactly."""
    styles: dict[str, tuple[Tensor, Tensor]]
    """Block name to mean and standard deviation (N, C_b) of each channel of its residual branch, before any gate: what
    SRM's gates are computed from."""


class Block(nn.Module):
    """A residual block, basic or bottleneck; returns its features and the gates of its recalibration."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int,
        bottleneck: bool,
        recalibration: Recalibration | None,
    ) -> None:
        super().__init__()
        out_channels = channels * 4 if bottleneck else channels
        if bottleneck:
            self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out_channels)
        else:
            self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
        self.bottleneck = bottleneck
        self.out_channels = out_channels
        self.recalibration = recalibration
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residual branch, before recalibration, and the shortcut."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(torch.relu(y)))
        return y, x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        y, shortcut = self.branches(x)
        if self.recalibration is None:
            return (y + shortcut).relu_(), None
        y, gate = self.recalibration(y, shortcut)
        return y.relu_(), gate

    def explain(self, x: Tensor, correction: int) -> tuple[Tensor, Tensor | None, tuple[Tensor, Tensor]]:
        """Return what ``forward`` returns, and the style (mean and standard deviation) of the residual branch.

        SRM's gate is computed from that same style, so the features are pooled once.
        """
        y, shortcut = self.branches(x)
        style = style_pooling(y, correction)
        match self.recalibration:
            case None:
                return (y + shortcut).relu_(), None, style
            case StyleGate():
                gate = self.recalibration.integrate(*style)
            case recalibration:
                gate = recalibration.gate(y)
        return torch.addcmul(shortcut, y, per_map(gate.to(y.dtype))).relu_(), gate, style


class ResNet(nn.Module):
    """A ResNet as an :class:`Architecture` describes it.

    ``network(images)`` gives logits (N, K); ``network.explain(images)`` gives the gates and the class activation
    map as well. Images are float (N, in_channels, H, W), normalised.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        if architecture.depth in CIFAR_DEPTHS:
            counts, bottleneck, base = [(architecture.depth - 2) // 6] * 3, False, 16
        else:
            counts, bottleneck = IMAGENET_STAGES[architecture.depth]
            base = 64
        channels = [max(round(base * 2**stage * architecture.width), 1) for stage in range(len(counts))]

        size = architecture.image_size
        if architecture.stem == "imagenet":
            self.conv1 = nn.Conv2d(architecture.in_channels, channels[0], 7, stride=2, padding=3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
            size = halved(halved(size))
        else:
            self.conv1 = nn.Conv2d(architecture.in_channels, channels[0], 3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(channels[0])

        in_channels = channels[0]
        self.stage_names = [f"layer{stage + 1}" for stage in range(len(counts))]
        for stage, (name, count) in enumerate(zip(self.stage_names, counts, strict=True)):
            blocks = nn.ModuleList()
            out_channels = channels[stage] * 4 if bottleneck else channels[stage]
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                size = halved(size) if stride == 2 else size
                recalibration = create_recalibration(
                    architecture.recalibration, out_channels, spatial_size=size, correction=architecture.correction
                )
                blocks.append(
                    Block(
                        in_channels, channels[stage], stride=stride, bottleneck=bottleneck, recalibration=recalibration
                    )
                )
                in_channels = out_channels
            self.add_module(name, blocks)

        self.dropout = nn.Dropout(architecture.dropout)
        self.fc = nn.Linear(in_channels, architecture.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def blocks(self) -> dict[str, Block]:
        """Return every block by name, such as ``layer1.0``, from the first to the last."""
        return {
            f"{stage}.{index}": block
            for stage in self.stage_names
            for index, block in enumerate(self.get_submodule(stage).children())
            if isinstance(block, Block)
        }

    def stem(self, images: Tensor) -> Tensor:
        """Return what the first block gets."""
        features: Tensor = self.maxpool(torch.relu(self.bn1(self.conv1(images))))
        return features

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        for block in self.blocks().values():
            features, _ = block(features)
        logits: Tensor = self.fc(self.dropout(features.mean(dim=(2, 3))))
        return logits

    def explain(self, images: Tensor) -> Explanation:
        """Return logits, gates, class activation maps and styles of the same forward pass.

        The map is the one of Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016,
        section 2, with the bias included so that its spatial mean is the logit.
        """
        features = self.stem(images)
        gates, styles = {}, {}
        for name, block in self.blocks().items():
            features, gate, styles[name] = block.explain(features, self.architecture.correction)
            if gate is not None:
                gates[name] = gate
        logits = self.fc(self.dropout(features.mean(dim=(2, 3))))
        maps = nn.functional.conv2d(features, self.fc.weight[:, :, None, None], self.fc.bias)
        return Explanation(logits, gates, maps, styles)


def halved(size: int) -> int:
    """Size after a stride of 2 with same padding."""
    return (size + 1) // 2
