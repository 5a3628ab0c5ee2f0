"""The header of a compressed picture, read without decoding it.

A decoder allocates the size that the codestream names, even if the file around it names another. So the two are
compared first.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

MAX_SCANS = 100
"""Limit for a JPEG.

Encoders write at most 10. Each scan takes a few bytes, but decoding it passes over the whole picture.
"""
MAX_TILES = 4096
"""Limit for a JPEG 2000 picture. OpenJPEG allocates about 10 kB for each tile before it decodes the first."""

START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
HUFFMAN_FRAMES, JPEG_LS_FRAME = (0xC0, 0xC1, 0xC2, 0xC3), 0xF7
LOSSLESS_FRAME = 0xC3
OTHER_FRAMES = (0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
"""Hierarchical and arithmetic coding, which are hardly ever used."""
UNCONVERTED = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe's segment (APP14) of a JPEG whose colours are not converted."""
J2K_START = b"\xff\x4f\xff\x51"


class Codestream(NamedTuple):
    """The size of a picture in pixels, its components per pixel, and its bits per component."""

    width: int
    height: int
    components: int
    bits: int


def read_jpeg(data: bytes) -> Codestream:
    """Read the frame header of a JPEG or JPEG-LS picture (ITU-T T.81 B.2.2, T.87 C.2.2).

    Raises:
        ValueError: if there is no frame header, or its coding is not supported here.
    """
    if not data.startswith(START_OF_IMAGE):
        raise ValueError("it does not begin like a JPEG")
    position = 2
    while True:
        position = data.index(b"\xff", position)
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes may precede a marker
            position += 1
            continue
        if marker in HUFFMAN_FRAMES or marker == JPEG_LS_FRAME:
            bits, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
            return Codestream(width, height, components, bits)
        if marker in OTHER_FRAMES or marker == START_OF_SCAN[1]:
            raise ValueError("it has no frame header of a coding that is read here")
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]


def segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Marker and position of each segment before the first scan, as far as they can be read."""
    position = 2
    while jpeg.startswith(START_OF_IMAGE) and position + 4 <= len(jpeg) and jpeg[position] == 0xFF:
        marker = jpeg[position + 1]
        if marker == 0xFF:  # fill bytes may precede a marker
            position += 1
            continue
        yield marker, position
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4])


def is_lossless_jpeg(data: bytes) -> bool:
    """Whether a file is a lossless JPEG (process 14), as far as its markers can be read."""
    ends = (*HUFFMAN_FRAMES, *OTHER_FRAMES, START_OF_SCAN[1])
    return next((marker for marker, _ in segments(data) if marker in ends), None) == LOSSLESS_FRAME


def with_whole_band(jpeg: bytes) -> bytes:
    """A sequential JPEG whose scans end with coefficient 63 (Se), which alone is allowed there (T.81 B.2.3).

    Some writers leave 0, and libjpeg refuses the picture. Of other codings the bytes are returned as they are.
    """
    position, repaired, sequential = 2, bytearray(jpeg), False
    while (position := jpeg.find(b"\xff", position)) >= 0 and position + 4 < len(jpeg):
        marker = jpeg[position + 1]
        if marker in (0x00, 0xFF, 0x01) or 0xD0 <= marker <= 0xD9:  # no marker, fill, or one without a length
            position += 1 if marker == 0xFF else 2
            continue
        sequential = sequential or marker in (0xC0, 0xC1)
        if marker == START_OF_SCAN[1] and sequential:
            last = position + 6 + 2 * jpeg[position + 4]
            if last < len(jpeg):
                repaired[last] = 63
        position += 2 + struct.unpack_from(">H", jpeg, position + 2)[0]
    return bytes(repaired)


def with_colours_named(jpeg: bytes) -> bytes:
    """A JPEG whose components are named R, G and B, with Adobe's marker that they are not converted.

    Pillow asks libjpeg for YCbCr where the marker is missing, and libjpeg can't make it of RGB. Others are returned as
    they are.
    """
    for marker, position in segments(jpeg):
        if marker == UNCONVERTED[1]:
            break
        if marker in HUFFMAN_FRAMES:
            named = jpeg[position + 10 : position + 19 : 3]
            return START_OF_IMAGE + UNCONVERTED + jpeg[2:] if named == b"RGB" else jpeg
    return jpeg


def without_stray_zero(jpeg_ls: bytes) -> bytes | None:
    """A JPEG-LS picture without a zero byte before its end marker, which some writers add; None if there is none."""
    end = jpeg_ls.rstrip(b"\0")
    return end[:-3] + END_OF_IMAGE if end.endswith(b"\0" + END_OF_IMAGE) else None


def read_jpeg_2000(data: bytes) -> Codestream:
    """Read the size marker of a JPEG 2000 codestream (ITU-T T.800 A.5.1). DICOM stores the codestream alone.

    Raises:
        ValueError: if there is no size marker, or it names more tiles than any encoder makes.
    """
    if not data.startswith(J2K_START):
        raise ValueError("it does not begin like JPEG 2000")
    right, bottom, left, top, tile_width, tile_height, _, _, components = struct.unpack_from(">8IH", data, 8)
    width, height = right - left, bottom - top
    if -(-width // tile_width) * -(-height // tile_height) > MAX_TILES:
        raise ValueError(f"it has more than {MAX_TILES} tiles")
    bits = max((depth & 0x7F) + 1 for depth in data[42 : 42 + 3 * components : 3])
    return Codestream(width, height, components, bits)


def has_too_many_scans(jpeg: bytes) -> bool:
    """Whether the JPEG has so many scans that decoding would take far too long.

    Entropy-coded data contain no scan marker.
    """
    return jpeg.count(START_OF_SCAN) > MAX_SCANS
