"""Channel recalibration: a gate between 0 and 1 for each channel of each image, by name.

Every module here has ``gate(x)``, from features (N, C, H, W) to gates (N, C), and ``forward(x)``, which returns
the recalibrated features ``x * gate`` with the gate beside them, so that no hook is needed to see it.
"""

from models.recalibration.base import Recalibration
from models.recalibration.ge import GatherExcite
from models.recalibration.se import SqueezeExcitation
from models.recalibration.srm import StyleRecalibration

__all__ = [
    "GatherExcite",
    "Recalibration",
    "SqueezeExcitation",
    "StyleRecalibration",
    "create_recalibration",
]


def create_recalibration(
    name: str, channels: int, *, spatial_size: int | None = None, correction: int = 1
) -> Recalibration | None:
    """Build a recalibration module.

    Args:
        name: ``srm``, ``se``, ``ge`` or ``none``.
        channels: number of channels C of the features it recalibrates.
        spatial_size: height and width of those features in pixels; only ``ge`` needs it, since it learns a
            weight for every position.
        correction: of the variance in ``srm``: 1 for the unbiased estimate (the authors' code), 0 for the biased.

    Raises:
        ValueError: for an unknown name, or ``ge`` without ``spatial_size``.
    """
    match name:
        case "none":
            return None
        case "srm":
            return StyleRecalibration(channels, correction=correction)
        case "se":
            return SqueezeExcitation(channels)
        case "ge":
            if spatial_size is None:
                raise ValueError("recalibration 'ge' needs spatial_size: it learns one weight for every position")
            return GatherExcite(channels, spatial_size)
        case _:
            raise ValueError(f"unknown recalibration {name!r}: choose one of srm, se, ge, none")
