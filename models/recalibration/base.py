"""What all recalibration modules share: a gate for each channel, and the product with it."""

import torch
from torch import Tensor, nn


class Recalibration(nn.Module):
    """A gate computed from the features themselves, which then scales them channel by channel."""

    def gate(self, x: Tensor) -> Tensor:
        """Return the gates (N, C), each between 0 and 1, of features (N, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define gate()")

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the recalibrated features (N, C, H, W) and the gates (N, C) that scaled them.

        A residual block passes its shortcut (N, C, H, W), which is added on the way: one pass over the features
        less than scaling first and adding then.
        """
        gate = self.gate(x)
        scale = gate.to(x.dtype)[:, :, None, None]
        return x * scale if shortcut is None else torch.addcmul(shortcut, x, scale), gate
