"""Ordinary changes of a picture at its own resolution: framing, captions, geometry, light and quality."""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from training.style.corruptions import Corruption, brightness, gaussian_noise, jpeg

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
"""From a picture (L or RGB) and a source of randomness to the changed picture, whose size may differ."""

CAPTION = "OD 2024-03-14 10:32 ID 004512"
LETTERBOX = 1.5
"""Side of the black square, by the picture's longer side."""
BORDER = 100
SQUASHED = 0.67
ZOOM = 1.67
ANGLE = 20
SHIFT = 0.2
BLUR = 0.01
"""Deviation of the Gaussian, by the shorter side."""
TEXT = 0.05
"""Height of the letters, by the picture's height."""


def letterbox(image: Image.Image) -> Image.Image:
    """The picture in the middle of a black square, which no crop to a square removes."""
    side = round(LETTERBOX * max(image.size))
    framed = Image.new(image.mode, (side, side))
    framed.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return framed


def squash(image: Image.Image) -> Image.Image:
    return image.resize((image.width, max(1, round(image.height * SQUASHED))), Image.Resampling.BICUBIC)


def caption(image: Image.Image) -> Image.Image:
    """A white line of text with a black outline, in the lower left corner."""
    written = image.copy()
    size = max(6, round(TEXT * image.height))
    ImageDraw.Draw(written).text(
        (size // 2, image.height - size // 2),
        CAPTION,
        fill="white",
        font=ImageFont.load_default(size),
        anchor="lb",
        stroke_width=max(1, size // 12),
        stroke_fill="black",
    )
    return written


def zoom(image: Image.Image) -> Image.Image:
    """The middle of the picture."""
    width, height = (max(1, round(side / ZOOM)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def shift(image: Image.Image) -> Image.Image:
    """To the right; black takes its place."""
    moved = Image.new(image.mode, image.size)
    moved.paste(image, (round(SHIFT * image.width), 0))
    return moved


def only(corruption: Corruption) -> Change:
    """A corruption of one severity."""
    return lambda image, random: corruption(image, 1, random)


CHANGES: Mapping[str, Change] = {
    "letterbox": lambda image, _: letterbox(image),
    "white border": lambda image, _: ImageOps.expand(image, BORDER, "white"),
    "squash": lambda image, _: squash(image),
    "caption": lambda image, _: caption(image),
    "inverted": lambda image, _: ImageOps.invert(image),
    "upside down": lambda image, _: ImageOps.flip(image),
    "zoom": lambda image, _: zoom(image),
    "dark": only(brightness(0.5)),
    "bright": only(brightness(1.7)),
    "rotation": lambda image, _: image.rotate(ANGLE, Image.Resampling.BICUBIC),
    "shift": lambda image, _: shift(image),
    "blur": lambda image, _: image.filter(ImageFilter.GaussianBlur(BLUR * min(image.size))),
    "JPEG": only(jpeg(15)),
    "noise": only(gaussian_noise(0.1)),
}
MEANINGS: Mapping[str, str] = {
    "letterbox": "on a black square 1.5 times as wide as the longer side",
    "white border": "100 pixels of white on each side",
    "squash": "the height times 0.67",
    "caption": "a line of text in a corner, 5 % of the height",
    "inverted": "dark for bright",
    "upside down": "top for bottom",
    "zoom": "the middle, 1.67 times as large",
    "dark": "brightness times 0.5",
    "bright": "brightness times 1.7",
    "rotation": "by 20 degrees, black behind",
    "shift": "to the right by 20 % of the width, black behind",
    "blur": "Gaussian, 1 % of the shorter side",
    "JPEG": "at quality 15",
    "noise": "Gaussian, 10 % of the range",
}
