"""The training-time augmentation of a recipe."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AugmentationSpec(BaseModel):
    """How far augmentation may change an image; 0 switches a part off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip_horizontal: bool = True
    flip_vertical: bool = False
    rotation: float = Field(default=15.0, ge=0, le=180)
    """Largest rotation either way, in degrees."""
    scale: float = Field(default=0.1, ge=0, lt=1)
    """Largest relative change of the field of view: 0.1 shows 0.9 to 1.1 of the image's side."""
    translation: float = Field(default=0.05, ge=0, lt=1)
    """Largest shift, as a fraction of the image's size."""
    squash: float = Field(default=0.0, ge=0, le=1)
    """Largest relative change of the aspect ratio, either way: 0.5 shows 2:3 to 3:2 of a square's."""
    padding: Literal["zeros", "border", "reflection"] = "border"
    """The fill for pixels beyond the edge."""
    pad_crop: int = Field(default=0, ge=0)
    """Pixels of black round the image, out of which a window of the image's size is cut: He 2016, section 4.2, for
    CIFAR with 4."""
    random_resized_crop: float = Field(default=0.0, ge=0, le=1)
    """Smallest part of the area that is shown, stretched by up to 4:3 either way (Szegedy et al., "Going Deeper with
    Convolutions", CVPR 2015, section 6); 0.08 there."""
    decoded_size: int | None = Field(default=None, ge=8)
    """Height and width at which training images are kept before they are cropped to the input's size, so that a crop
    has more pixels to show; default: the input's size."""
    brightness: float = Field(default=0.1, ge=0, lt=1)
    contrast: float = Field(default=0.1, ge=0, lt=1)
    saturation: float = Field(default=0.1, ge=0, lt=1)
    """Largest relative changes; saturation applies to colour images alone."""
    gamma: float = Field(default=0.0, ge=0, le=4)
    """Largest relative change of the exponent of the brightness, either way: 0.5 raises it to 1/1.5 to 1.5."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Largest standard deviation of Gaussian noise, where the image's range is 0 to 1."""
    erasing: float = Field(default=0.0, ge=0, lt=1)
    """Side of a square set to the image's mean, as a fraction of the image's size (DeVries and Taylor 2017,
    "Improved Regularization of Convolutional Neural Networks with Cutout")."""
    borders: float = Field(default=0.0, ge=0, le=1)
    """How many of the images get a border on one to four sides, each up to a quarter of the image wide: black, white or
    grey. The image is shrunk to the place between, as a letterbox or a screenshot does."""
    caption: float = Field(default=0.0, ge=0, le=1)
    """How many of the images get a line of made-up letters near the upper or lower edge, white or black."""
