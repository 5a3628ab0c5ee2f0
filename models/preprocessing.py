"""From the bytes of an image file to the network's uint8 input. No torch here.

Training's evaluation and the service both call :func:`preprocess`, so that a figure measured in training holds for
the service. Training-time augmentation is apart.
"""

import io
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from models.card import InputSpec

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
DEFAULT_MAX_PIXELS = 50_000_000

# Our own limit, checked before any pixel is decoded, stands in for Pillow's, which only warns up to twice its value.
Image.MAX_IMAGE_PIXELS = None

TIFF_BITS, TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
Resampling = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
ImageFault = Literal["empty", "unrecognised", "damaged", "too-large", "unsupported"]


class ImageError(ValueError):
    """An image that can't be used; the text says why and what to do."""

    def __init__(self, fault: ImageFault, message: str) -> None:
        super().__init__(message)
        self.fault: ImageFault = fault


class Preprocessed(NamedTuple):
    """An image as the network takes it, and as it came."""

    pixels: NDArray[np.uint8]
    """(height, width, channels), as the card's input says."""
    width: int
    height: int
    """Of the file, in pixels, upright."""
    format: str


def preprocess(data: bytes, spec: InputSpec, max_pixels: int = DEFAULT_MAX_PIXELS) -> Preprocessed:
    """Decode an image file and fit it to a network's input.

    EXIF orientation is applied; 16-bit grey is scaled to 8 bits; palettes are expanded; transparency is laid over
    black; CMYK is converted; of several frames or pages the first is taken. A JPEG much larger than the input is
    decoded at a reduced scale, never below twice the input's size.

    Raises:
        ImageError: if the bytes are not an image of a known format, are damaged, or hold more than ``max_pixels``.
    """
    if not data:
        raise ImageError("empty", "The image is empty (0 bytes): send the file's content.")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            "unrecognised", f"This is not an image file of a known format: send one of {', '.join(FORMATS)}."
        ) from None
    except Exception as error:  # a decoder meeting hostile bytes raises many kinds of errors
        raise damaged(error) from error
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            "too-large",
            f"The image has {width} x {height} = {width * height:,} pixels and the limit is {max_pixels:,}: "
            "send a smaller one.",
        )
    file_format = "JPEG" if image.format == "MPO" else str(image.format)  # a phone's JPEG with a second picture in it
    try:
        longer = 2 * max(spec.width, spec.height)  # the file may lie on its side, and the crop is square
        image.draft("L" if spec.channels == 1 else "RGB", (longer, longer))
        image.load()
        if image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):  # gone by now where it is a TIFF
            width, height = height, width
        flat = eight_bit(ImageOps.exif_transpose(image), getattr(image, "tag_v2", {}))
    except ImageError:
        raise
    except Exception as error:
        raise damaged(error) from error
    return Preprocessed(fit(flat, spec), width, height, file_format)


def damaged(error: Exception) -> ImageError:
    return ImageError(
        "damaged", f"The image is damaged or truncated ({error}): check that the whole file was sent, or save it anew."
    )


def eight_bit(image: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """Return the image in mode L or RGB, at 8 bits, transparency laid over black.

    Raises:
        ImageError: for pixels of 32-bit integers or floats, whose range nobody has stated.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        white = 2 ** min(tags.get(TIFF_BITS, (16,))[0], 16) - 1  # 12-bit TIFFs come here too
        table = np.rint(np.arange(65536).clip(max=white) * (255 / white)).astype(np.uint8)
        if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts these at 8 bits and forgets to at 16
            table = 255 - table
        return Image.fromarray(table[np.asarray(image).astype(np.uint16)])
    if image.mode in ("I", "F"):
        raise ImageError(
            "unsupported",
            "The image has 32-bit pixels, whose range is not defined: save it with 8 or 16 bits a channel.",
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        picture = image.convert("RGBA")
        flat = Image.new("RGB", picture.size)
        flat.paste(picture, mask=picture.getchannel("A"))
        return flat
    return image.convert("L" if image.mode == "1" else "RGB")


def fit(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """Crop, resize and convert an 8-bit image to the input (height, width, channels) of ``spec``.

    An image that has the input's size and channels already comes back unchanged, pixel for pixel.
    """
    if spec.crop == "centre-square":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if image.size != (spec.width, spec.height):
        image = image.resize((spec.width, spec.height), Resampling[spec.interpolation])
    image = image.convert("L" if spec.channels == 1 else "RGB")
    return np.array(image, dtype=np.uint8).reshape(spec.height, spec.width, spec.channels)
