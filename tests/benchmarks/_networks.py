"""The networks that the training benchmarks compare."""

import torch
from torch import Tensor, nn

from models.architecture import Architecture
from models.recalibration import Recalibration, StyleRecalibration
from models.resnet import ResNet

VARIANTS = ("plain", "se", "srm", "srm by autograd", "official srm")


class OfficialFormulation(Recalibration):
    """SRM with one library call for each step of the paper's section 3: the formulation that its authors published.

    Mean and unbiased variance in the features' own precision, the channel-wise layer as a product and a sum,
    BatchNorm, sigmoid, product; the shortcut is added afterwards.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cfc = nn.Parameter(torch.zeros(channels, 2))
        self.bn = nn.BatchNorm2d(channels)

    def gate(self, x: Tensor) -> Tensor:
        positions = x.flatten(2)
        style = torch.stack([positions.mean(dim=2), (positions.var(dim=2) + 1e-5).sqrt()], dim=2)
        z = (style * self.cfc).sum(dim=2)[:, :, None, None]
        gate: Tensor = torch.sigmoid(self.bn(z))
        return gate.flatten(1)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> tuple[Tensor, Tensor]:
        gate = self.gate(x)
        y = x * gate[:, :, None, None]
        return y if shortcut is None else y + shortcut, gate


class ByAutograd(StyleRecalibration):
    """Our SRM from plain operations, as it is compiled and exported, with autograd's backward pass."""

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return Recalibration.forward(self, x, shortcut)


def create_variant(variant: str, architecture: Architecture) -> ResNet:
    """Build one of ``VARIANTS`` from the same seed; the architecture's own recalibration is left out of account.

    Raises:
        ValueError: for an unknown variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
    name = {"plain": "none", "se": "se"}.get(variant, "srm")
    torch.manual_seed(0)
    network = ResNet(architecture.model_copy(update={"recalibration": name}))
    for block in network.blocks().values():
        if variant == "official srm":
            block.recalibration = OfficialFormulation(block.out_channels)
        elif variant == "srm by autograd":
            block.recalibration = ByAutograd(block.out_channels)
    return network
