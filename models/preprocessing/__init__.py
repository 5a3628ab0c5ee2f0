"""From the bytes of an image file to the network's uint8 input. No torch here.

The evaluation in training and the service both call :func:`preprocess`. So a figure measured in training also holds for
the service. Training-time augmentation is not here.
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import InputSpec
from models.preprocessing.content import Box, content_box
from models.preprocessing.cost import DEAR, decoding_cost
from models.preprocessing.faults import ImageError, ImageFault
from models.preprocessing.files import DICOM_MAGIC, DICOM_PREAMBLE, read_picture
from models.preprocessing.foreign import PILLOW_FORMATS
from models.scope import DicomKind

__all__ = [
    "DEAR",
    "DEFAULT_MAX_PIXELS",
    "FORMATS",
    "VERSION",
    "Box",
    "Decoded",
    "ImageError",
    "ImageFault",
    "Preprocessed",
    "cut",
    "decode",
    "decoding_cost",
    "fit",
    "preprocess",
    "region",
]

VERSION = 1
# Whoever changes a pixel of any image must raise it: training keeps decoded images on disk by it.
FORMATS = (*PILLOW_FORMATS, "DICOM")
DEFAULT_MAX_PIXELS = 50_000_000

"""A DICOM file begins with so many bytes of any content, then these."""

Resampling = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class Decoded(NamedTuple):
    """A decoded image: upright, 8 bits per channel, possibly at a reduced scale."""

    image: Image.Image
    width: int
    height: int
    """Size of the image in the file, in pixels, upright."""
    format: str
    frame: int
    frames: int | None = None
    laterality: str | None = None
    dicom: DicomKind | None = None


class Preprocessed(NamedTuple):
    """An image as the input of a network, and what its file says of it."""

    pixels: NDArray[np.uint8]
    """(height, width, channels), as the input in the card says."""
    crop: Box
    """The part of the image that the pixels show, in pixels of the file, upright."""
    width: int
    height: int
    """Size of the image in the file, in pixels, upright."""
    format: str
    frame: int = 1
    """The frame or page that was decoded, counted from 1."""
    frames: int | None = None
    """The number of frames of a DICOM file; None for other files, of which pages are not counted."""
    laterality: str | None = None
    """The eye that a DICOM file names: R, L or B (both)."""
    dicom: DicomKind | None = None
    """What a DICOM file says of how it was made; None for other files."""


def preprocess(
    data: bytes, spec: InputSpec, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None
) -> Preprocessed:
    """Decode an image file with :func:`decode`, and fit it to the input of a network.

    Raises:
        ImageError: as :func:`decode`.
    """
    found = decode(data, spec, max_pixels, frame)
    box = region(found.image, spec)
    pixels = cut(found.image, box, spec)
    return Preprocessed(
        pixels, box.scaled(found.width / found.image.width, found.height / found.image.height), *found[1:]
    )


def decode(data: bytes, spec: InputSpec, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None) -> Decoded:
    """Decode an image file.

    EXIF orientation is applied. 16 bits are scaled to 8. Palettes are expanded. Transparency is composited on black.
    CMYK is converted to RGB. A JPEG much larger than the input is decoded at a reduced scale, never below twice the
    size of the input, or four times where ``content`` may cut more away. DICOM pixels are displayed as the file asks:
    see :func:`models.preprocessing.dicom.read_frame`.

    ``frame`` chooses a frame of a DICOM file or a page of a TIFF file, counted from 1 as in DICOMweb (PS3.18 10.4.1).
    Without it a DICOM file gives its middle frame, number (n + 1) // 2 of n, and every other file its first.

    Raises:
        ImageError: if the bytes are not an image of a known format, are damaged, have no such frame, or have more than
            ``max_pixels`` pixels.
    """
    if not data:
        raise ImageError("empty", "The image is empty (0 bytes): send the file's content.")
    if frame is not None and frame < 1:
        raise ImageError("frame", f"There is no frame {frame}: frames are counted from 1.")
    if is_dicom(data):
        from models.preprocessing.dicom import read_frame  # importing pydicom takes half a second

        found = read_frame(data, frame, max_pixels)
        size = found.picture.width, found.picture.height
        return Decoded(found.picture, *size, "DICOM", found.number, found.frames, found.laterality, found.kind)
    picture = read_picture(data, spec, frame, max_pixels)
    return Decoded(picture.image, picture.width, picture.height, picture.format, frame or 1)


def is_dicom(data: bytes) -> bool:
    """Whether the bytes begin like a DICOM file, with or without the preamble."""
    if data.startswith(DICOM_MAGIC, DICOM_PREAMBLE):
        return True
    group, element = struct.unpack("<HH", data[:4].ljust(4, b"\0"))
    return bool((group == 2 and element <= 0x10) or (group == 8 and element <= 0x18))


def fit(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """Crop, resize and convert an 8-bit image to the input (height, width, channels) of ``spec``.

    An image that already has the size and channels of the input, and of which nothing is cut away, is returned
    unchanged, pixel for pixel.
    """
    return cut(image, region(image, spec), spec)


def region(image: Image.Image, spec: InputSpec) -> Box:
    """The part of an image that becomes the input: its content, and of that the centre square, as ``spec`` says."""
    box = content_box(image, spec.content)
    return box.centre_square() if spec.crop == "centre-square" else box


def cut(image: Image.Image, box: Box, spec: InputSpec) -> NDArray[np.uint8]:
    """Resize and convert a part of an 8-bit image; what reaches beyond the image is black."""
    if box != Box(0, 0, *image.size):
        image = image.crop((box.left, box.top, box.left + box.width, box.top + box.height))
    if image.size != (spec.width, spec.height):
        image = image.resize((spec.width, spec.height), Resampling[spec.interpolation])
    image = image.convert("L" if spec.channels == 1 else "RGB")
    return np.array(image, dtype=np.uint8).reshape(spec.height, spec.width, spec.channels)
