"""Image files that Pillow reads (JPEG, PNG, TIFF, BMP, WebP), as 8-bit pictures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from models.card import InputSpec
from models.preprocessing.codestream import MAX_SCANS, has_too_many_scans, is_lossless_jpeg
from models.preprocessing.faults import ImageError, check_size
from models.preprocessing.foreign import PILLOW_FORMATS, not_read
from models.preprocessing.metered import MeteredBytes
from models.preprocessing.repairs import as_classic_tiff, without_ancillary_chunks
from models.preprocessing.repairs.grey_alpha import grey_alpha_on_black, is_grey_alpha
from models.preprocessing.repairs.tiff_pages import Page, is_in_planes, is_misread, page_size, read_page, read_planes
from models.preprocessing.repairs.transparency import with_exact_transparency

DICOM_PREAMBLE, DICOM_MAGIC = 128, b"DICM"  # a DICOM file has these bytes after a preamble of this length (PS3.10, 7.1)

# check_size replaces the limit of Pillow, which only warns up to twice its value.
Image.MAX_IMAGE_PIXELS = None

TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_PLANES, TIFF_COLOUR_MAP, TIFF_SAMPLE_FORMAT = 258, 262, 284, 320, 339
WHITE_IS_ZERO, SEPARATE, UNSIGNED = 0, 2, 1


TRANSPOSE, TRANSVERSE = Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE
ROTATE_90, ROTATE_270 = Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: TRANSPOSE,
    6: ROTATE_270,
    7: TRANSVERSE,
    8: ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""


class Picture(NamedTuple):
    """A picture in mode L or RGB, and the size (pixels, upright) and format of its file."""

    image: Image.Image
    width: int
    height: int
    format: str


def read_picture(data: bytes, spec: InputSpec, frame: int | None, max_pixels: int) -> Picture:
    """Decode a file with Pillow. ``frame`` is the page of a TIFF file, counted from 1.

    Raises:
        ImageError: if it is not an image file, is damaged, has no such page, or the page has more than ``max_pixels``
            pixels.
    """
    for repair in (without_ancillary_chunks, as_classic_tiff):
        data = repair(data)
    if (page := read_page(data, frame or 1)) and is_in_planes(page):
        return picture_in_planes(data, page, max_pixels)
    try:
        image = Image.open(MeteredBytes(data), formats=PILLOW_FORMATS)
    except UnidentifiedImageError:
        raise not_read(data, frame or 1) from None
    except ImageError:
        raise
    except Exception as error:  # hostile bytes make a decoder raise many kinds of errors
        raise damaged(error) from error
    if page and is_misread(page):
        raise not_read(data, frame or 1)
    try:
        turn_to(image, frame or 1)
        width, height = image.size
        check_size(width, height, max_pixels)
        if image.format in ("JPEG", "MPO") and has_too_many_scans(data):
            raise ImageError(
                "unsupported",
                f"The JPEG file has more than {MAX_SCANS} scans; encoders write at most 10: save it again.",
            )
        scale = 2 if spec.content == "all" else 4  # half of each side may be border
        longer = scale * max(spec.width, spec.height)  # the picture may be turned by EXIF, and the crop is square
        if not is_lossless_jpeg(data):  # libjpeg can neither scale these nor convert their colours
            image.draft("L" if spec.channels == 1 else "RGB", (longer, longer))
        image.load()
        turn = TURNS.get(orientation(image))
        if turn in (TRANSPOSE, TRANSVERSE, ROTATE_90, ROTATE_270):
            width, height = height, width
        flat = eight_bit(with_exact_transparency(image, data), getattr(image, "tag_v2", {}))
        if turn is not None:
            flat = flat.transpose(turn)
    except ImageError:
        raise
    except Exception as error:
        raise damaged(error) from error
    # MPO: a JPEG of a phone that holds a second picture
    file_format = "JPEG" if image.format == "MPO" else str(image.format)
    return Picture(flat, width, height, file_format)


def picture_in_planes(data: bytes, page: Page, max_pixels: int) -> Picture:
    """Decode a page of a TIFF file whose colours are stored in separate planes."""
    check_size(*page_size(page), max_pixels)
    try:
        picture = read_planes(data, page)
    except UnidentifiedImageError:
        raise not_read(data) from None
    except ImageError:
        raise
    except Exception as error:
        raise damaged(error) from error
    return Picture(picture, picture.width, picture.height, "TIFF")


def orientation(image: Image.Image) -> int:
    """The orientation in a file's EXIF data, 1 to 8; 1 without any, or if they can't be read.

    That of XMP and of ImageMagick's text chunks does not count, as in browsers: what a person sees is classified.
    Pillow has already turned a TIFF.
    """
    raw, exif = image.info.get("exif"), Image.Exif()
    if image.format == "TIFF" or not raw:
        return 1
    try:
        exif.load(raw)
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # of hostile bytes; a picture with broken EXIF data is still a picture
        return 1


def damaged(error: Exception) -> ImageError:
    return ImageError(
        "damaged", f"The image is damaged or truncated ({error}): check that the whole file was sent, or save it again."
    )


def turn_to(image: Image.Image, page: int) -> None:
    """Go to a page, counted from 1.

    Raises:
        ImageError: if the file has fewer pages, or if its format has no pages.
    """
    if page == 1:
        return
    if image.format != "TIFF":
        kind = "JPEG" if image.format == "MPO" else image.format
        raise ImageError("frame", f"There is no frame {page}: a {kind} file counts as one picture: leave frame out.")
    try:
        image.seek(page - 1)
    except EOFError:
        raise ImageError("frame", f"There is no frame {page}: the TIFF file has fewer pages, counted from 1.") from None


def eight_bit(image: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """Return the image in mode L or RGB, at 8 bits per channel, with transparency composited on black.

    For 16-bit colours Pillow keeps the upper byte, which differs from the rounded value by at most one step.

    Raises:
        ImageError: for pixels whose range is not defined, or that Pillow is known to read wrongly.
    """
    if tags.get(TIFF_SAMPLE_FORMAT, (UNSIGNED,))[0] != UNSIGNED or image.mode in ("I", "F"):
        raise ImageError(
            "unsupported",
            "The image has signed, 32-bit or floating-point pixels, whose range is not defined: save it "
            "with 8 or 16 bits a channel.",
        )
    if tags.get(TIFF_PLANES) == SEPARATE and tags.get(TIFF_BITS, (8,))[0] > 8:
        raise ImageError(
            "unsupported",
            "The TIFF file has 16-bit colours in separate planes, which is not supported: save it with interleaved "
            "colours.",
        )
    if is_grey_alpha(image):
        return grey_alpha_on_black(image)
    if image.mode == "P" and image.format == "TIFF" and max(tags.get(TIFF_COLOUR_MAP, (256,))) < 256:
        image.putpalette(np.reshape(tags[TIFF_COLOUR_MAP], (3, -1)).T.astype(np.uint8).tobytes())  # as libtiff reads it
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        white = 2 ** min(tags.get(TIFF_BITS, (16,))[0], 16) - 1  # 12-bit TIFFs come here too
        table = np.rint(np.arange(65536).clip(max=white) * (255 / white)).astype(np.uint8)
        if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts these at 8 bits, but not at 16
            table = 255 - table
        if isinstance(image.info.get("transparency"), int):
            table[image.info["transparency"]] = 0
        return Image.fromarray(table[np.asarray(image).astype(np.uint16, copy=False)])
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        picture = image.convert("RGBA")
        flat = Image.new("RGB", picture.size)
        flat.paste(picture, mask=picture.getchannel("A"))
        return flat
    return image.convert("L" if image.mode == "1" else "RGB")
