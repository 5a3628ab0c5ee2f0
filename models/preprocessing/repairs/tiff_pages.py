"""TIFF pages that Pillow reads wrongly or not at all: what their directories say, and colours in separate planes.

Pillow mixes up the bytes of 16-bit planes, and loses the alpha of 8-bit grey. So each plane is written as a grey page
of its own, which Pillow reads, and the planes are put together here.
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preprocessing.metered import MeteredBytes
from models.preprocessing.repairs.grey_alpha import ASSOCIATED, UNASSOCIATED, on_black

(BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, ROWS, COUNTS, PLANES, TILES, TILE_COUNTS, EXTRA, FORMAT, TABLES) = (
    *(258, 259, 262, 273, 277, 278, 279, 284, 324, 325, 338, 339, 347),
)
KEPT = (256, 257, COMPRESSION, 266, 274, ROWS, 317, 322, 323, TABLES)
"""Tags that are the same for a plane as for the page: size, compression, order of bits, orientation, tiles, tables."""
WANTED = (*KEPT, BITS, PHOTOMETRIC, STRIPS, SAMPLES, COUNTS, PLANES, TILES, TILE_COUNTS, EXTRA, FORMAT)
INTEGERS = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
MOST_VALUES, MOST_PAGES, MOST_ENTRIES = 1_000_000, 65_536, 65_536
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR = 0, 1, 2, 6
SEPARATE, UNSIGNED, UNCOMPRESSED, WEBP = 2, 1, 1, 50001

Page = dict[int, tuple[int, ...]]
"""Integers of a directory by tag; those that are wanted here."""


class Layout(NamedTuple):
    """How a TIFF file writes its directories."""

    order: str
    word: str
    """Format of offsets and counts."""
    entries: str
    """Format of the number of entries."""


def read_page(data: bytes, number: int = 1) -> Page | None:
    """The directory of a page, counted from 1; None if the file is no TIFF or if the directory can't be followed."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    try:
        if (
            order is None
            or number > MOST_PAGES
            or (kind := struct.unpack_from(f"{order}H", data, 2)[0]) not in (42, 43)
        ):
            return None
        layout = Layout(order, "I", "H") if kind == 42 else Layout(order, "Q", "Q")
        word = struct.calcsize(layout.word)
        (offset,) = struct.unpack_from(order + layout.word, data, 4 if kind == 42 else 8)
        for _ in range(number - 1):
            (count,) = struct.unpack_from(order + layout.entries, data, offset)
            offset += struct.calcsize(layout.entries) + (4 + 2 * word) * count
            (offset,) = struct.unpack_from(order + layout.word, data, offset)
        return directory(data, offset, layout) if offset else None
    except (struct.error, OverflowError):
        return None


def directory(data: bytes, offset: int, layout: Layout) -> Page:
    (count,) = struct.unpack_from(layout.order + layout.entries, data, offset)
    offset += struct.calcsize(layout.entries)
    word = struct.calcsize(layout.word)
    page: Page = {}
    for start in range(offset, offset + (4 + 2 * word) * min(count, MOST_ENTRIES), 4 + 2 * word):
        tag, kind, values = struct.unpack_from(f"{layout.order}HH{layout.word}", data, start)
        if tag not in WANTED or tag in page or kind not in INTEGERS or values > MOST_VALUES:
            continue
        form = f"{layout.order}{values}{INTEGERS[kind]}"
        place = start + 4 + word
        if struct.calcsize(form) > word:
            (place,) = struct.unpack_from(layout.order + layout.word, data, place)
        page[tag] = struct.unpack_from(form, data, place)
    return page


def first(page: Page, tag: int, usual: int) -> int:
    return page[tag][0] if page.get(tag) else usual


def page_size(page: Page) -> tuple[int, int]:
    """Width and height in pixels, as they are stored."""
    return first(page, 256, 0), first(page, 257, 0)


def is_in_planes(page: Page) -> bool:
    """Whether a page holds grey or RGB, of 8 or 16 unsigned bits, with each colour in a plane of its own."""
    samples = first(page, SAMPLES, 1)
    return (
        first(page, PLANES, 1) == SEPARATE
        and samples >= (3 if first(page, PHOTOMETRIC, BLACK_IS_ZERO) == RGB else 1)
        and first(page, PHOTOMETRIC, BLACK_IS_ZERO) in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        and page.get(BITS) in ((8,) * samples, (16,) * samples)
        and set(page.get(FORMAT, ())) <= {UNSIGNED}
    )


def is_misread(page: Page) -> bool:
    """Whether Pillow misreads a page: WebP inside TIFF, YCbCr uncompressed in planes or with fewer colours."""
    if first(page, PHOTOMETRIC, BLACK_IS_ZERO) != YCBCR:
        return first(page, COMPRESSION, UNCOMPRESSED) == WEBP
    width, height = page_size(page)
    stored = sum(page.get(COUNTS) or page.get(TILE_COUNTS) or ())
    fewer = first(page, COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED and stored < 3 * width * height
    return fewer or (first(page, PLANES, 1) == SEPARATE and first(page, COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED)


def read_planes(data: bytes, page: Page) -> Image.Image:
    """A page that :func:`is_in_planes`, in mode L or RGB, composited on black."""
    white = 2 ** page[BITS][0] - 1
    colours = 3 if first(page, PHOTOMETRIC, BLACK_IS_ZERO) == RGB else 1
    extra = first(page, EXTRA, 0)
    shown = colours + (extra in (ASSOCIATED, UNASSOCIATED) and first(page, SAMPLES, 1) > colours)
    planes = [read_plane(data, page, index) for index in range(shown)]
    alpha = planes[colours] if shown > colours else None
    inverted = first(page, PHOTOMETRIC, BLACK_IS_ZERO) == WHITE_IS_ZERO
    levels = [on_black(plane, alpha, white, extra, inverted=inverted) for plane in planes[:colours]]
    return Image.fromarray(levels[0] if colours == 1 else np.dstack(levels))


def read_plane(data: bytes, page: Page, index: int) -> NDArray[np.float32]:
    with Image.open(MeteredBytes(plane_file(data, page, index)), formats=["TIFF"]) as image:
        return np.asarray(image).astype(np.float32)


def plane_file(data: bytes, page: Page, index: int) -> bytes:
    """The file with one plane of a page as its only page, in grey. Its directory stands behind the old content."""
    entries = {tag: page[tag] for tag in KEPT if tag in page}
    entries |= {BITS: page[BITS][index : index + 1], PHOTOMETRIC: (BLACK_IS_ZERO,), SAMPLES: (1,)}
    for tag in (STRIPS, COUNTS, TILES, TILE_COUNTS):
        if tag in page:
            each = len(page[tag]) // first(page, SAMPLES, 1)
            entries[tag] = page[tag][each * index : each * (index + 1)]
    order = "<" if data.startswith(b"II") else ">"
    made = bytearray(data) + bytes(len(data) % 2)
    rows = []
    for tag in sorted(entries):
        values = entries[tag]
        kind, form = (7, "B") if tag == TABLES else (4, "I")
        content = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(content) > 4:
            content, made = struct.pack(f"{order}I", len(made)), made + content + bytes(len(content) % 2)
        rows.append(struct.pack(f"{order}HHI", tag, kind, len(values)) + content.ljust(4, b"\0"))
    made[2:8] = struct.pack(f"{order}HI", 42, len(made))
    return bytes(made + struct.pack(f"{order}H", len(rows)) + b"".join(rows) + bytes(4))


def stored_wholly(page: Page, length: int) -> bool:
    """Whether a page has a size, and its strips or tiles lie within a file of ``length`` bytes."""
    places, counts = page.get(STRIPS) or page.get(TILES), page.get(COUNTS) or page.get(TILE_COUNTS)
    if not (page.get(256) and page.get(257) and places and counts):
        return False
    return all(place + count <= length for place, count in zip(places, counts, strict=False))
