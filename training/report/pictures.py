"""Pictures of mistakes: the image, overlaid with the evidence for the predicted and for the true class."""

import base64
import io
from typing import NamedTuple

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.evaluation.kept import Evaluation

SIDE = 168
"""Longer side of a picture in the page, in pixels."""


class Mistake(NamedTuple):
    """A misclassified image; the pictures are ``data:`` addresses."""

    id: str
    true: str
    predicted: str
    probability: float
    probability_of_true: float
    image: str
    map_of_predicted: str
    map_of_true: str


def mistakes(evaluation: Evaluation, names: list[str]) -> list[Mistake]:
    """The most confident mistakes of an evaluation, drawn."""
    drawn = []
    for row, pixels, maps in zip(evaluation.examples.tolist(), evaluation.images, evaluation.maps, strict=True):
        probabilities, true = evaluation.probabilities[row], int(evaluation.labels[row])
        predicted = int(probabilities.argmax())
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
        size = (round(SIDE * picture.width / max(picture.size)), round(SIDE * picture.height / max(picture.size)))
        small = max(picture.size) * 2 < SIDE  # then show the pixels as they are
        picture = picture.resize(size, Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)
        drawn.append(
            Mistake(
                str(evaluation.ids[row]),
                names[true],
                names[predicted],
                float(probabilities[predicted]),
                float(probabilities[true]),
                address(picture),
                *(address(overlay(picture, activation)) for activation in maps),
            )
        )
    return drawn


def overlay(picture: Image.Image, activation: NDArray[np.float32]) -> Image.Image:
    """Overlay a class activation map (h, w) on an image, from its least evidence (transparent) to its most."""
    low, high = float(activation.min()), float(activation.max())
    scaled = (activation - low) / (high - low) if high > low else np.zeros_like(activation)
    strength = np.asarray(Image.fromarray(scaled.astype(np.float32)).resize(picture.size, Image.Resampling.BICUBIC))
    strength = strength.clip(0, 1)
    colours = matplotlib.colormaps["viridis"](strength)[..., :3] * 255
    alpha = 0.65 * strength[..., None]
    return Image.fromarray(((1 - alpha) * np.asarray(picture) + alpha * colours).round().astype(np.uint8))


def address(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
