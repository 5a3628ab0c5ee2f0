"""The graph of a model package, as a torch module to export or to compare with."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.package import OUTPUTS, STYLE_OUTPUTS
from models.resnet import ResNet
from models.style_shift import StyleShift, styles_of
from training.data.pipeline import Normalisation


class PackagedNetwork(nn.Module):
    """The graph of a package: uint8 images (N, H, W, C) to probabilities, recalibration weights, activation map
    and style shift.

    Args:
        network: in evaluation mode, folded or not.
        normalisation: of the training images.
        temperature: the logits are divided by it.
        log_prior_shift: one value a class, added afterwards.
        multi_label: sigmoid for each class rather than softmax over the classes.
        style_shift: None for a package without the outputs of the style shift.
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
        style_shift: StyleShift | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.multi_label = multi_label
        self.style_shift = style_shift
        mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
        self.register_buffer("scale", 1 / (255 * std)[:, None, None])
        self.register_buffer("offset", (-mean / std)[:, None, None])
        self.register_buffer("log_prior_shift", torch.tensor(log_prior_shift, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        pixels = image.permute(0, 3, 1, 2).float()
        explanation = self.network.explain(pixels * self.scale + self.offset)
        calibrated = explanation.logits / self.temperature + self.log_prior_shift
        probabilities = torch.sigmoid(calibrated) if self.multi_label else torch.softmax(calibrated, dim=1)
        gates = list(explanation.recalibration_weights.values())
        weights = torch.cat(gates, dim=1) if gates else pixels.new_zeros((pixels.shape[0], 0))
        outputs = probabilities, weights, explanation.class_activation
        if self.style_shift is None:
            return outputs
        return outputs + self.style_shift(styles_of(pixels, explanation))

    @property
    def output_names(self) -> tuple[str, ...]:
        return OUTPUTS if self.style_shift is None else OUTPUTS + STYLE_OUTPUTS
