"""Transparency of PNG files, exactly as the chunk tRNS says (PNG 3rd edition, section 11.3.1.1).

Pillow compares a grey of 2 or 4 bits that it has scaled to 8 with the value that it has not scaled, and of 16-bit
colours only the upper bytes.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from models.preprocessing.metered import MeteredBytes

DEPTH, COLOUR_TYPE = 24, 25
"""Where a PNG file says them."""
RGB = 2


def with_exact_transparency(image: Image.Image, data: bytes) -> Image.Image:
    """A loaded image as :func:`models.preprocessing.files.eight_bit` takes it, whose transparency is that of the file.

    Files other than PNG, and those without a transparent colour, are returned as they are.
    """
    colour = image.info.get("transparency")
    if image.format != "PNG" or not isinstance(colour, int | tuple):
        return image
    depth = data[DEPTH]
    if isinstance(colour, int) and image.mode == "L":
        white = 2**depth - 1
        image.info["transparency"] = (colour & white) * 255 // white
    if isinstance(colour, tuple) and depth == 8:
        image.info["transparency"] = tuple(value & 255 for value in colour)
    if isinstance(colour, tuple) and depth == 16 and data[COLOUR_TYPE] == RGB:
        upper, lower = np.asarray(image), lower_bytes(data)
        clear = ((upper == np.array(colour) >> 8) & (lower == np.array(colour) & 255)).all(axis=2)
        return Image.fromarray(np.where(clear[..., None], np.uint8(0), upper))
    return image


def lower_bytes(data: bytes) -> NDArray[np.uint8]:
    """The lower byte of each 16-bit colour of a PNG file (height, width, 3)."""
    with Image.open(MeteredBytes(data), formats=["PNG"]) as image:
        assert isinstance(image, PngImageFile)
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]  # as if the upper byte came second
        return np.asarray(image)
