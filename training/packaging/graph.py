"""The graph of a model package, as a torch module to export or to compare with."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.resnet import ResNet
from training.data.pipeline import Normalisation


class PackagedNetwork(nn.Module):
    """The graph of a package: uint8 images (N, H, W, C) to probabilities, recalibration weights and activation map.

    Args:
        network: in evaluation mode, folded or not.
        normalisation: of the training images.
        temperature: the logits are divided by it.
        log_prior_shift: one value a class, added afterwards.
        multi_label: sigmoid for each class rather than softmax over the classes.
    """

    scale: Tensor
    offset: Tensor
    log_prior_shift: Tensor

    def __init__(
        self,
        network: ResNet,
        normalisation: Normalisation,
        temperature: float,
        log_prior_shift: Sequence[float],
        *,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.multi_label = multi_label
        mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
        self.register_buffer("scale", 1 / (255 * std)[:, None, None])
        self.register_buffer("offset", (-mean / std)[:, None, None])
        self.register_buffer("log_prior_shift", torch.tensor(log_prior_shift, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = image.permute(0, 3, 1, 2).float() * self.scale + self.offset
        logits, gates, maps = self.network.explain(x)
        calibrated = logits / self.temperature + self.log_prior_shift
        probabilities = torch.sigmoid(calibrated) if self.multi_label else torch.softmax(calibrated, dim=1)
        weights = torch.cat(list(gates.values()), dim=1) if gates else x.new_zeros((x.shape[0], 0))
        return probabilities, weights, maps
