"""Style-based Recalibration Module (SRM).

Lee, Kim, Nam: "SRM: A Style-based Recalibration Module for Convolutional Neural Networks", ICCV 2019,
https://arxiv.org/abs/1903.10829.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.recalibration.base import Recalibration
from models.recalibration.style_function import RecalibrateByStyle, recalibrate_by_style, style_pooling


class StyleGate(Recalibration):
    """A gate that :meth:`integrate` computes from the style of each channel.

    The pooling runs in float32 also under autocast, since a float16 sum over a large map overflows.
    """

    correction: int

    def integrate(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """Return the gates (N, C) of channels with these means and standard deviations (N, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define integrate()")

    def gate(self, x: Tensor) -> Tensor:
        return self.integrate(*style_pooling(x, self.correction))

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if torch.compiler.is_compiling():  # compilers and the exporter see through plain operations alone
            return super().forward(x, shortcut)
        # Autocast needs no switching off here: it lowers convolutions and matrix products, and there are none.
        if not torch.is_grad_enabled():
            return recalibrate_by_style(x, shortcut, self.correction, self.integrate)
        result: tuple[Tensor, Tensor] = RecalibrateByStyle.apply(  # type: ignore[no-untyped-call]  # torch's
            x, shortcut, self.correction, self.integrate, *self.parameters()
        )
        return result


class StyleRecalibration(StyleGate):
    """Gate each channel by its own style: style pooling, style integration, sigmoid (paper, section 3).

    Style integration is the channel-wise fully connected layer ``z_c = w_c1 * mu_c + w_c2 * sigma_c``, started at
    zero, and batch normalisation over the batch: a fresh module in evaluation mode has gate 0.5 everywhere.

    Args:
        channels: number of channels C; the module has 4*C trainable values.
        correction: see :func:`models.recalibration.style_function.style_pooling`.
    """

    def __init__(self, channels: int, *, correction: int = 1) -> None:
        super().__init__()
        if correction not in (0, 1):
            raise ValueError(f"correction must be 0 (biased variance) or 1 (unbiased), not {correction}")
        self.correction = correction
        self.cfc = nn.Parameter(torch.zeros(channels, 2))
        self.bn = nn.BatchNorm1d(channels)

    def integrate(self, mu: Tensor, sigma: Tensor) -> Tensor:
        z = self.cfc[:, 0] * mu + self.cfc[:, 1] * sigma
        if self.training and z.shape[0] == 1:  # a single image has no batch statistics: take the running ones
            bn = self.bn
            z = F.batch_norm(z, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
        else:
            z = self.bn(z)
        return torch.sigmoid(z)

    def extra_repr(self) -> str:
        return f"channels={self.cfc.shape[0]}, correction={self.correction}"


class FoldedStyleRecalibration(StyleGate):
    """A trained SRM for inference: style integration and batch normalisation folded to three values a channel.

    ``gate = sigmoid(a * mu + b * sigma + d)`` equals the trained module's gate in evaluation mode.
    """

    a: Tensor
    b: Tensor
    d: Tensor

    def __init__(self, trained: StyleRecalibration) -> None:
        super().__init__()
        bn = trained.bn
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = bn.weight.detach() / (bn.running_var + bn.eps).sqrt()
        self.correction = trained.correction
        self.register_buffer("a", trained.cfc.detach()[:, 0] * scale)
        self.register_buffer("b", trained.cfc.detach()[:, 1] * scale)
        self.register_buffer("d", bn.bias.detach() - bn.running_mean * scale)

    def integrate(self, mu: Tensor, sigma: Tensor) -> Tensor:
        return torch.sigmoid(torch.addcmul(torch.addcmul(self.d, self.a, mu), self.b, sigma))
