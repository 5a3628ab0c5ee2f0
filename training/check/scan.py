"""Read every image once, and keep only what the checks need: about 1.3 kB per image."""

import hashlib
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from models.card import InputSpec
from models.cpu import usable_cpus
from models.preprocessing import FORMATS, ImageError, preprocess
from training.check.source import Entry

HASH_SIDE, THUMBNAIL = 16, 32
DARK, WHITE = 20, 235
"""Grey levels up to, and from, which a whole row or column counts as border, JPEG noise included."""


class Scan(NamedTuple):
    """The properties of an image that the checks need."""

    width: int
    height: int
    encoding: str
    """Format, colour mode, and for a JPEG the quantisation tables' sum, whether progressive and with EXIF."""
    border: tuple[float, ...]
    """Dark left, right, top, bottom, then white ones, as parts of the width or height."""
    digest: bytes
    """Of the upright pixels."""
    hashes: NDArray[np.uint8]
    """(4, 32): 256-bit pHash (Zauner 2010) of the image, and of it mirrored, upside down, and turned by 180 degrees."""
    thumbnail: NDArray[np.uint8]
    """(32, 32), grey."""


def scan(entries: Sequence[Entry], progress: Callable[[], None] = lambda: None) -> list[Scan | str]:
    """Scan images in threads. For an image that can't be read, return the reason. ``progress`` is called after each."""

    def one(entry: Entry) -> Scan | str:
        try:
            return scan_file(entry.image) if isinstance(entry.image, Path) else scan_pixels(entry.image, "array")
        except (ImageError, OSError) as error:
            return str(error)
        finally:
            progress()

    with ThreadPoolExecutor(usable_cpus()) as pool:
        return list(pool.map(one, entries))


def scan_file(path: Path) -> Scan:
    data = path.read_bytes()
    return scan_pixels(decode_at_full_size(data), encoding_of(data))


def decode_at_full_size(data: bytes) -> NDArray[np.uint8]:
    """Upright pixels (H, W, 3) at full size, by the same function as in training."""
    tiny = InputSpec(height=1, width=1, channels=3, crop="none")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):
                width, height = height, width
    except Exception:  # preprocess gives the reason
        whole = preprocess(data, tiny)
        width, height = whole.width, whole.height
    return preprocess(data, InputSpec(height=max(height, 1), width=max(width, 1), channels=3, crop="none")).pixels


def encoding_of(data: bytes) -> str:
    """How a file was encoded, apart from its size and content. ``unknown`` if Pillow does not read it."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            words = [image.format or "unknown", image.mode]
            for number, table in sorted(getattr(image, "quantization", {}).items()):
                words.append(f"table {number} sum {sum(table)}")
            words += [word for word in ("progressive", "dpi") if image.info.get(word)]
            words += ["EXIF"] if image.getexif() else []
            return ", ".join(words)
    except UnidentifiedImageError:
        return "unknown"


def scan_pixels(pixels: NDArray[np.uint8], encoding: str) -> Scan:
    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    image = Image.fromarray(flat)
    grey = image.convert("L")
    small = grey.resize((4 * HASH_SIDE, 4 * HASH_SIDE), Image.Resampling.LANCZOS)
    hashes = [np.packbits(imagehash.phash(view, HASH_SIDE).hash) for view in views(small)]
    digest = hashlib.blake2b(repr(flat.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(flat).data)
    thumbnail = np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.HAMMING))
    return Scan(
        image.width, image.height, encoding, border_of(np.asarray(grey)), digest.digest(), np.stack(hashes), thumbnail
    )


def views(image: Image.Image) -> list[Image.Image]:
    """The image as it is, mirrored, upside down, and turned by 180 degrees."""
    turns = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180)
    return [image, *(image.transpose(turn) for turn in turns)]


def border_of(grey: NDArray[np.uint8]) -> tuple[float, ...]:
    """Widths of the dark and of the white border on each side, as parts of the whole."""
    widths: list[float] = []
    for is_border in (lambda axis: grey.max(axis=axis) <= DARK, lambda axis: grey.min(axis=axis) >= WHITE):
        for axis in (0, 1):
            line = is_border(axis)
            for ordered in (line, line[::-1]):
                inside = np.flatnonzero(~ordered)
                widths.append(float(inside[0] if len(inside) else len(line)) / len(line))
    return tuple(widths)
