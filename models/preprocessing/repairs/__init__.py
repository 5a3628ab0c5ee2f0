"""Files that are whole, but whose form Pillow refuses, written anew so that it reads them."""

import struct
import zlib

PNG_START = b"\x89PNG\r\n\x1a\n"
SHOWN = (b"tRNS", b"eXIf")
"""Ancillary chunks that change what is seen."""
BIG_ENDIAN_BIGTIFF = b"MM\0+"
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
LONG, WIDE_TYPES = 4, {16: 4, 17: 9, 18: 13}
"""Types of 64 bits, and those of 32 bits that take their place."""
MOST_CHUNKS, MOST_PAGES, MOST_ENTRIES = 100_000, 1_000, 1_000


def without_ancillary_chunks(data: bytes) -> bytes:
    """A PNG file without the chunks that don't change what is seen: text, profiles, times (PNG 3rd edition, section 5).

    Browsers show a picture whose text chunk has a wrong checksum. Pillow refuses it. Chunks that are seen stay if their
    checksum is right. Other files, and what can't be read as chunks, are returned as they are.
    """
    if not data.startswith(PNG_START):
        return data
    kept, position, dropped = [PNG_START], len(PNG_START), False
    while position + 12 <= len(data):
        if len(kept) > MOST_CHUNKS:
            return data
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        kind, body = data[position + 4 : position + 8], data[position + 4 : end - 4]
        critical = not kind[0] & 0x20
        if critical or (kind in SHOWN and data[end - 4 : end] == struct.pack(">I", zlib.crc32(body))):
            kept.append(data[position:end])
        else:
            dropped = True
            kept.append(b"")
        position = end
    return b"".join([*kept, data[position:]]) if dropped else data


def as_classic_tiff(data: bytes) -> bytes:
    """A big-endian BigTIFF as a big-endian TIFF, whose directories stand behind the old content.

    Offsets fit into 32 bits, since files of 4 GiB and more are never read. Other files, and those whose directories
    can't be followed or would more than double the file, are returned as they are.
    """
    if not data.startswith(BIG_ENDIAN_BIGTIFF):
        return data
    made, place = bytearray(data), 4  # where the offset of the next directory belongs
    made[2:4] = b"\0*"
    try:
        (offset,) = struct.unpack_from(">Q", data, 8)
        for _ in range(MOST_PAGES):
            if not offset:
                break
            (count,) = struct.unpack_from(">Q", data, offset)
            if count > MOST_ENTRIES:
                break
            entries = [struct.unpack_from(">HHQ8s", data, offset + 8 + 20 * index) for index in range(count)]
            (offset,) = struct.unpack_from(">Q", data, offset + 8 + 20 * count)
            if len(made) + sum(TYPE_BYTES[kind] * values for _, kind, values, _ in entries) > 2 * len(data):
                return data
            short = [narrow(made, data, *entry) for entry in entries]
            made += bytes(len(made) % 2)
            struct.pack_into(">I", made, place, len(made))
            made += struct.pack(">H", len(short)) + b"".join(short)
            place = len(made)
            made += bytes(4)
    except (struct.error, IndexError, KeyError):
        return data
    return bytes(made)


def narrow(made: bytearray, data: bytes, tag: int, kind: int, count: int, field: bytes) -> bytes:
    """An entry of a BigTIFF directory as one of TIFF. Values that need a place get one at the end of ``made``."""
    size = TYPE_BYTES[kind] * count
    content = field[:size] if size <= 8 else data[int.from_bytes(field) : int.from_bytes(field) + size]
    if kind in WIDE_TYPES:
        signed = kind == 17
        values = [int.from_bytes(content[start : start + 8], signed=signed) for start in range(0, len(content), 8)]
        kind, content = WIDE_TYPES[kind], struct.pack(f">{len(values)}{'i' if signed else 'I'}", *values)
    if len(content) > 4:
        made += bytes(len(made) % 2)
        place = len(made)
        made += content
        content = struct.pack(">I", place)
    return struct.pack(">HHI", tag, kind, count) + content.ljust(4, b"\0")
