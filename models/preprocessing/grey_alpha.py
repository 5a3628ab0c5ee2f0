"""TIFF files of 16-bit grey with alpha, which Pillow has no mode for.

Pillow is told to read the four bytes of each pixel as if they were four channels, whatever the compression, and here
they are put together again.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

BITS, EXTRA_SAMPLES = 258, 338
DEEP = (16, 16)
UNUSED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""What TIFF's extra sample is (TIFF 6.0, section 18): associated alpha has been multiplied into the grey already."""


def let_pillow_read() -> None:
    """Add the kinds to Pillow's table of TIFF pixels, where it has none of its own."""
    black_is_zero, unsigned, usual_order = 1, (1,), 1
    for start in (b"II", b"MM"):
        for extra in (UNUSED, ASSOCIATED, UNASSOCIATED):
            key = (start, black_is_zero, unsigned, usual_order, DEEP, (extra,))
            TiffImagePlugin.OPEN_INFO.setdefault(key, ("RGBA", "RGBA"))


let_pillow_read()


def is_grey_alpha(image: Image.Image) -> bool:
    """Whether an image, loaded or not, is a TIFF of this kind."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(BITS) == DEEP


def on_black(image: Image.Image) -> Image.Image:
    """The grey of an image that :func:`is_grey_alpha`, composited on black, in mode L."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    # libtiff decompresses into the machine's order of bytes; plain pixels are in the file's
    as_in_file = image.info.get("compression") == "raw"
    order = (">" if image.tag_v2.prefix == b"MM" else "<") if as_in_file else "="
    samples: NDArray[Any] = np.ascontiguousarray(image).view(f"{order}u2").astype(np.float32)
    grey, alpha = samples[..., 0], samples[..., 1]
    extra = image.tag_v2.get(EXTRA_SAMPLES, (UNUSED,))[0]
    if extra == ASSOCIATED:
        grey = np.minimum(grey, alpha)
    elif extra == UNASSOCIATED:
        grey = grey * (alpha / 65535)
    return Image.fromarray(np.rint(grey / 257).astype(np.uint8))
