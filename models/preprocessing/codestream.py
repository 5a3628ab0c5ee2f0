"""The header of a compressed picture, read without decoding it.

A decoder allocates the size that the codestream names, even if the file around it names another. So the two are
compared first.
"""

import struct
from typing import NamedTuple

MAX_SCANS = 100
"""Limit for a JPEG.

Encoders write at most 10. Each scan takes a few bytes, but decoding it passes over the whole picture.
"""
MAX_TILES = 4096
"""Limit for a JPEG 2000 picture. OpenJPEG allocates about 10 kB for each tile before it decodes the first."""

START_OF_IMAGE, START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
HUFFMAN_FRAMES, JPEG_LS_FRAME = (0xC0, 0xC1, 0xC2, 0xC3), 0xF7
OTHER_FRAMES = (0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
"""Hierarchical and arithmetic coding, which are hardly ever used."""
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
        raise ValueError("no JPEG picture")
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
            raise ValueError("no JPEG frame header of a known coding")
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]


def read_jpeg_2000(data: bytes) -> Codestream:
    """Read the size marker of a JPEG 2000 codestream (ITU-T T.800 A.5.1). DICOM stores the codestream alone.

    Raises:
        ValueError: if there is no size marker, or it names more tiles than any encoder makes.
    """
    if not data.startswith(J2K_START):
        raise ValueError("no JPEG 2000 codestream")
    right, bottom, left, top, tile_width, tile_height, _, _, components = struct.unpack_from(">8IH", data, 8)
    width, height = right - left, bottom - top
    if -(-width // tile_width) * -(-height // tile_height) > MAX_TILES:
        raise ValueError("too many tiles")
    bits = max((depth & 0x7F) + 1 for depth in data[42 : 42 + 3 * components : 3])
    return Codestream(width, height, components, bits)


def has_too_many_scans(jpeg: bytes) -> bool:
    """Whether the JPEG has so many scans that decoding would take far too long.

    Entropy-coded data contain no scan marker.
    """
    return jpeg.count(START_OF_SCAN) > MAX_SCANS
