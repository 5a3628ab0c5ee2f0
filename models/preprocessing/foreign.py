"""What a file is that is not read: in words, so that nobody looks for damage in a file that is whole."""

from models.preprocessing.codestream import HUFFMAN_FRAMES, JPEG_LS_FRAME, OTHER_FRAMES, START_OF_IMAGE, segments
from models.preprocessing.faults import ImageError
from models.preprocessing.repairs.tiff_pages import (
    BITS,
    COMPRESSION,
    FORMAT,
    PHOTOMETRIC,
    first,
    read_page,
    stored_wholly,
)

PILLOW_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
STARTS = {
    b"GIF8": "GIF",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
    b"<?xml": "XML or SVG",
    b"<svg": "SVG",
    b"<!doctype html": "HTML",
    b"<html": "HTML",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"P5": "PGM",
    b"P6": "PPM",
}
BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}
BRANDS |= {b"avif": "AVIF", b"avis": "AVIF"}
UNKNOWN = "This is not an image file of a known format"


def name_of(data: bytes) -> str | None:
    """The name of a known format that is not read, by how such files begin."""
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12], "MP4 or a relative of it")
    head = data[:16].lstrip().lower() if data[:1] in b"< \t\r\n" else data[:16]
    return next((name for start, name in STARTS.items() if head.startswith(start)), None)


def not_read(data: bytes, page: int = 1) -> ImageError:
    """Why a file, or a page of a TIFF file, is not read that no decoder takes."""
    if data.startswith(TIFF_STARTS):
        return tiff_not_read(data, page)
    if data.startswith(START_OF_IMAGE) and (kind := jpeg_kind(data)):
        return ImageError("unsupported", f"The JPEG file is {kind}, which is not read here: save it with 8 bits.")
    name = name_of(data)
    what = f"This is a file of the format {name}, which is not read here" if name else UNKNOWN
    return ImageError("unrecognised", f"{what}: send one of {', '.join(PILLOW_FORMATS)}, DICOM.")


def tiff_not_read(data: bytes, number: int) -> ImageError:
    page = read_page(data, number)
    if page is None or not stored_wholly(page, len(data)):
        return ImageError(
            "damaged",
            "The TIFF file is truncated, or has an unsupported kind of pixels: check that the whole file was sent, or "
            "save it as grey or RGB with 8 or 16 bits a channel.",
        )
    bits = " + ".join(map(str, page.get(BITS, (1,))[:8]))
    kinds = {2: ", signed", 3: ", floating-point"}
    kind = kinds.get(first(page, FORMAT, 1), "")
    return ImageError(
        "unsupported",
        f"The TIFF file has a kind of pixels that is not read ({bits} bits{kind}, photometric interpretation "
        f"{first(page, PHOTOMETRIC, 1)}, compression {first(page, COMPRESSION, 1)}): save it as grey or RGB "
        "with 8 or 16 bits a channel.",
    )


def jpeg_kind(data: bytes) -> str | None:
    """What is unusual in a JPEG file: its coding or its bits; None if it is neither, or if no frame header is found."""
    for marker, position in segments(data):
        if position + 5 > len(data):
            break
        if marker == JPEG_LS_FRAME:
            return "in the coding JPEG-LS"
        if marker in OTHER_FRAMES:
            return "in hierarchical or arithmetic coding"
        if marker in HUFFMAN_FRAMES:
            return f"of {data[position + 4]} bits a colour" if data[position + 4] != 8 else None
    return None
