"""From the bytes of an image file to the network's uint8 input. No torch here.

Training's evaluation and the service both call :func:`preprocess`, so that a figure measured in training holds for
the service. Training-time augmentation is apart.
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import InputSpec
from models.preprocessing.faults import ImageError, ImageFault
from models.preprocessing.files import PILLOW_FORMATS, read_picture

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "DICOM_MAGIC",
    "DICOM_PREAMBLE",
    "FORMATS",
    "Decoded",
    "ImageError",
    "ImageFault",
    "Preprocessed",
    "decode",
    "fit",
    "preprocess",
]

FORMATS = (*PILLOW_FORMATS, "DICOM")
DEFAULT_MAX_PIXELS = 50_000_000

DICOM_PREAMBLE, DICOM_MAGIC = 128, b"DICM"
"""A DICOM file begins with so many bytes of any content, then these."""

Resampling = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class Decoded(NamedTuple):
    """An image as it came, upright and in 8 bits, perhaps at a reduced scale."""

    image: Image.Image
    width: int
    height: int
    """Of the file, in pixels, upright."""
    format: str
    frame: int
    laterality: str | None


class Preprocessed(NamedTuple):
    """An image as the network takes it, and as it came."""

    pixels: NDArray[np.uint8]
    """(height, width, channels), as the card's input says."""
    width: int
    height: int
    """Of the file, in pixels, upright."""
    format: str
    frame: int = 1
    """The frame or page that was taken, from 1."""
    laterality: str | None = None
    """The eye as a DICOM file says it: R, L or B."""


def preprocess(
    data: bytes, spec: InputSpec, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None
) -> Preprocessed:
    """Decode an image file, as :func:`decode` does, and fit it to a network's input.

    Raises:
        ImageError: as :func:`decode`.
    """
    found = decode(data, spec, max_pixels, frame)
    return Preprocessed(fit(found.image, spec), found.width, found.height, found.format, found.frame, found.laterality)


def decode(data: bytes, spec: InputSpec, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None) -> Decoded:
    """Decode an image file.

    EXIF orientation is applied; 16 bits are scaled to 8; palettes are expanded; transparency is laid over black; CMYK
    is converted. A JPEG much larger than the input is decoded at a reduced scale, never below twice the input's size.
    DICOM pixels become what the file asks to show: see :func:`models.preprocessing.dicom.read_frame`.

    ``frame`` chooses a frame of a DICOM file or a page of a TIFF file, counted from 1 as in DICOMweb (PS3.18 10.4.1).
    Without it a DICOM file gives its middle frame, number (n + 1) // 2 of n, and every other file its first.

    Raises:
        ImageError: if the bytes are not an image of a known format, are damaged, have no such frame, or hold more than
            ``max_pixels``.
    """
    if not data:
        raise ImageError("empty", "The image is empty (0 bytes): send the file's content.")
    if frame is not None and frame < 1:
        raise ImageError("frame", f"There is no frame {frame}: frames are counted from 1.")
    if is_dicom(data):
        from models.preprocessing.dicom import read_frame  # half a second that who sends no DICOM does not wait for

        found = read_frame(data, frame, max_pixels)
        size = found.picture.width, found.picture.height
        return Decoded(found.picture, *size, "DICOM", found.number, found.laterality)
    picture = read_picture(data, spec, frame, max_pixels)
    return Decoded(picture.image, picture.width, picture.height, picture.format, frame or 1, None)


def is_dicom(data: bytes) -> bool:
    """Whether these are a DICOM file's first bytes, also those of one that was stored without preamble."""
    if data.startswith(DICOM_MAGIC, DICOM_PREAMBLE):
        return True
    group, element = struct.unpack("<HH", data[:4].ljust(4, b"\0"))
    return bool((group == 2 and element <= 0x10) or (group == 8 and element <= 0x18))


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
