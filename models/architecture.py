"""The description of a network that a recipe sets and a model card carries. No torch here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Depth = Literal[18, 34, 50, 101, 152, 20, 32, 56, 110]
Stem = Literal["imagenet", "small"]
RecalibrationName = Literal["srm", "se", "ge", "none"]
Start = Literal["identity", "as-is"]
"""Of gates that initial weights lack; see :mod:`models.initial_weights`."""


class Architecture(BaseModel):
    """A network of the ResNet family with a recalibration module in every block.

    Depths 18 to 152 are the ImageNet family (He 2016, table 1), 20 to 110 the CIFAR family (section 4.2).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: Depth = 18
    recalibration: RecalibrationName = "srm"
    stem: Stem = "imagenet"
    """``imagenet``: 7x7 convolution with stride 2 and pooling; ``small``: 3x3 with stride 1, for images under
    about 64 pixels."""
    width: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Multiplier of every stage's number of channels."""
    in_channels: int = Field(default=3, ge=1)
    num_classes: int = Field(default=1000, ge=1)
    image_size: int = Field(default=224, ge=1)
    """Height and width of the images, in pixels. Only ``ge`` is bound to it."""
    correction: Literal[0, 1] = 1
    """Of the variance in SRM's style pooling: 1 unbiased (the authors' code), 0 biased."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability of dropping a pooled feature before the classifier, in training."""
