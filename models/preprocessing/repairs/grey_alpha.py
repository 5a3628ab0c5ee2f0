"""TIFF files of grey with alpha, for which Pillow has no mode at 16 bits, and none at 8 bits where white is zero.

Pillow is told to read the four bytes of each 16-bit pixel as if they were four channels, whatever the compression, and
here they are put together again.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

BITS, PHOTOMETRIC, EXTRA_SAMPLES = 258, 262, 338
DEEP, USUAL = (16, 16), (8, 8)
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
UNUSED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""What TIFF's extra sample is (TIFF 6.0, section 18): associated alpha has been multiplied into the grey already."""


def let_pillow_read() -> None:
    """Add the kinds to Pillow's table of TIFF pixels, where it has none of its own."""
    unsigned, usual_order = (1,), 1
    for start in (b"II", b"MM"):
        for extra in (UNUSED, ASSOCIATED, UNASSOCIATED):
            for white in (WHITE_IS_ZERO, BLACK_IS_ZERO):
                key = (start, white, unsigned, usual_order, DEEP, (extra,))
                TiffImagePlugin.OPEN_INFO.setdefault(key, ("RGBA", "RGBA"))
                key = (start, white, unsigned, usual_order, USUAL, (extra,))
                TiffImagePlugin.OPEN_INFO.setdefault(key, ("LA", "LA"))


let_pillow_read()


def is_grey_alpha(image: Image.Image) -> bool:
    """Whether an image, loaded or not, is a TIFF of these kinds."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    bits, white = image.tag_v2.get(BITS), image.tag_v2.get(PHOTOMETRIC)
    return bits == DEEP or (bits == USUAL and white == WHITE_IS_ZERO)


def grey_alpha_on_black(image: Image.Image) -> Image.Image:
    """The grey of an image that :func:`is_grey_alpha`, composited on black, in mode L."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    extra = image.tag_v2.get(EXTRA_SAMPLES, (UNUSED,))[0]
    inverted = image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if image.tag_v2.get(BITS) == USUAL:
        grey, alpha = (np.asarray(image.getchannel(band)).astype(np.float32) for band in (0, 1))
        return Image.fromarray(on_black(grey, alpha, 255, extra, inverted=inverted))
    # libtiff decompresses into the machine's order of bytes; plain pixels are in the file's
    as_in_file = image.info.get("compression") == "raw"
    order = (">" if image.tag_v2.prefix == b"MM" else "<") if as_in_file else "="
    samples: NDArray[Any] = np.ascontiguousarray(image).view(f"{order}u2").astype(np.float32)
    return Image.fromarray(on_black(samples[..., 0], samples[..., 1], 65535, extra, inverted=inverted))


def on_black(
    grey: NDArray[np.float32], alpha: NDArray[np.float32] | None, white: int, extra: int, *, inverted: bool = False
) -> NDArray[np.uint8]:
    """Composite levels on black, at 8 bits.

    Args:
        grey: levels (H, W) from 0 to ``white``.
        alpha: from 0 to ``white``; None without any.
        white: the largest value.
        extra: what TIFF says of the alpha.
        inverted: whether 0 is white.
    """
    if inverted:
        grey = white - grey
    if alpha is not None and extra == ASSOCIATED:
        grey = np.minimum(grey, alpha)
    elif alpha is not None and extra == UNASSOCIATED:
        grey = grey * (alpha / np.float32(white))
    levels: NDArray[np.uint8] = np.rint(grey * np.float32(255 / white)).astype(np.uint8)
    return levels
