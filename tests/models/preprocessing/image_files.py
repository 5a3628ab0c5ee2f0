"""Image files made on the spot, with pixels known beforehand."""

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.card import InputSpec
from models.preprocessing import ImageError, preprocess

Pixels = NDArray[np.uint8]
Crop = Literal["centre-square", "none"]


def spec_for(height: int, width: int, channels: Literal[1, 3] = 3, crop: Crop = "none") -> InputSpec:
    return InputSpec(height=height, width=width, channels=channels, crop=crop)


def noise(height: int, width: int, *channels: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> Pixels:
    """A colour picture without a symmetry, that JPEG hardly changes."""
    few = Image.fromarray(noise(3, 4, 3, seed=seed))
    return np.asarray(few.resize((width, height), Image.Resampling.BICUBIC))


def encode(image: Pixels | Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def decode(data: bytes, height: int, width: int, channels: Literal[1, 3] = 3) -> Pixels:
    """The pixels as they come out where nothing needs cropping or resizing."""
    return preprocess(data, spec_for(height, width, channels)).pixels


def png(width: int, height: int, bits: int, kind: int, rows: bytes = b"", *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by its specification: bit depth, colour type, rows each led by a filter byte, other chunks."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def tiff(values: NDArray[Any], bits: int, *, photometric: int = 1, order: Literal["<", ">"] = "<") -> bytes:
    """An uncompressed grey TIFF file by its specification; photometric 0 is WhiteIsZero."""
    height, width = values.shape[0], values.shape[1] * values.itemsize * 8 // bits
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: height}
    entries[279] = values.nbytes
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries))
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(f"{order}IH", 8, len(entries)) + directory + bytes(4)
    return head + values.astype(values.dtype.newbyteorder(order)).tobytes()


LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_deflate"}),
    "tiff-packbits": ("TIFF", {"compression": "packbits"}),
    "bmp": ("BMP", {}),
    "webp": ("WEBP", {"lossless": True, "exact": True}),
}
lossless = pytest.mark.parametrize(("file_format", "options"), LOSSLESS.values(), ids=LOSSLESS)


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def fault_of(data: bytes, spec: InputSpec | None = None, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        preprocess(data, spec or spec_for(8, 8), **options)
    assert str(caught.value).endswith(".")
    return caught.value.fault
