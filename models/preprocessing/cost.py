"""What an image will cost to decode, estimated from its header in microseconds and before any decoder sees it.

The estimate decides the order of work. A file whose header is not understood, or that is large beside its picture,
counts as dear.
"""

import struct

from models.preprocessing.codestream import HUFFMAN_FRAMES, START_OF_IMAGE, START_OF_SCAN

DEAR = 8 << 20
"""Bytes. Decoding this much takes about 0.1 s."""
UNKNOWN = 64 << 20
"""Bytes. The cost of a file whose header is not understood."""
READ = 1 << 16
"""Bytes at the start of a file in which the header is looked for."""
MOST_SEGMENTS = 64
LARGE_JPEG = 3 << 20
"""Bytes. The scans of a larger JPEG are not counted; it is dear."""
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ROWS = (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00\x02\x00\x00\x00", b"\x00\x28\x00\x10US\x00\x02")
"""The element Rows (0028,0010) in explicit, implicit and big-endian files. Columns follow with the same form."""
COMPRESSED = (b"1.2.840.10008.1.2.4", b"1.2.840.10008.1.2.5")
"""How the transfer syntaxes of compressed DICOM files begin."""


def decoding_cost(data: bytes) -> int:
    """Estimate the bytes that decoding writes: pixels x channels x bytes per channel, more for many passes.

    A JPEG counts a quarter, because large ones are decoded at a reduced scale. It is at least three times the length
    of the file, because a file may have many parts beside its pixels.
    """
    try:
        return max(pixel_bytes(data), 3 * len(data))
    except (struct.error, ValueError, IndexError):
        return UNKNOWN


def pixel_bytes(data: bytes) -> int:
    if data.startswith(b"\x89PNG"):
        width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
        return int(width * height * PNG_CHANNELS.get(kind, 4) * (2 if depth == 16 else 1))
    if data.startswith(START_OF_IMAGE):
        return jpeg_bytes(data)
    if data.startswith(b"BM"):
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
        return int(abs(width * height) * max(bits, 8) // 8)
    if data.startswith(b"RIFF"):
        return webp_pixels(data) * 4
    if data.startswith((b"II", b"MM")):
        return tiff_bytes(data)
    if data.startswith(b"DICM", 128):
        return dicom_bytes(data)
    return UNKNOWN


def jpeg_bytes(data: bytes) -> int:
    """Bytes of a JPEG picture, at a quarter for one or two scans, or :data:`UNKNOWN` after too many segments."""
    position = 2
    for _ in range(MOST_SEGMENTS):
        start, marker, length = struct.unpack_from(">BBH", data, position)
        if start != 0xFF:
            break
        if marker in HUFFMAN_FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, position + 5)
            scans = 1 if len(data) > LARGE_JPEG else data.count(START_OF_SCAN)
            return int(width * height * components * (1 + scans) // 8)
        position += 2 + length
    return UNKNOWN


def webp_pixels(data: bytes) -> int:
    """Pixels of a WebP file (RFC 9649)."""
    if data[12:16] == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return width * (int.from_bytes(data[27:30], "little") + 1)
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return int(((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1))
    width, height = struct.unpack_from("<HH", data, 26)
    return int((width & 0x3FFF) * (height & 0x3FFF))


def tiff_bytes(data: bytes) -> int:
    """Bytes of the first page of a TIFF file of at most 64 entries, else :data:`UNKNOWN`."""
    order = "<" if data.startswith(b"II") else ">"
    magic, start = struct.unpack_from(f"{order}HI", data, 2)
    (entries,) = struct.unpack_from(f"{order}H", data, start)
    (following,) = struct.unpack_from(f"{order}I", data, start + 2 + 12 * entries)
    if magic != 42 or entries > 64 or following:
        return UNKNOWN
    found = {}
    for index in range(entries):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, start + 2 + 12 * index)
        (found[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, start + 10 + 12 * index)
    # Bits of several channels are stored elsewhere; then 16 are assumed.
    channels = found.get(277, 1)
    bits = found.get(258, 1) if channels == 1 else 16
    return int(found.get(256, 1 << 16) * found.get(257, 1 << 16) * channels * max(bits, 8) // 8)


def dicom_bytes(data: bytes) -> int:
    """Bytes of the largest size that the start of a DICOM file names. Those of a compressed one count twice."""
    head = data[:READ]
    largest = 0
    for pattern in ROWS:
        order = "<" if pattern.startswith(b"\x28") else ">"
        position = head.find(pattern)
        while position >= 0:
            rows, columns = (struct.unpack_from(f"{order}H", head, position + step)[0] for step in (8, 18))
            largest = max(largest, rows * columns)
            position = head.find(pattern, position + 1)
    if not largest:
        return UNKNOWN
    if any(syntax in head[:1024] for syntax in COMPRESSED):
        return max(largest * 4, DEAR + 1)  # its decoder runs in a process, and may use all of its time
    return largest * 3
