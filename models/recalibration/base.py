"""What all recalibration modules share: a gate for each channel, and the product with it."""

from torch import Tensor, nn


class Recalibration(nn.Module):
    """A gate computed from the features themselves, which then scales them channel by channel."""

    def gate(self, x: Tensor) -> Tensor:
        """Return the gates (N, C), each between 0 and 1, of features (N, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define gate()")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the recalibrated features (N, C, H, W) and the gates (N, C) that scaled them."""
        gate = self.gate(x)
        return x * gate.to(x.dtype)[:, :, None, None], gate
