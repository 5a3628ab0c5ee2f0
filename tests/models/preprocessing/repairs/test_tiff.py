"""TIFF files by the specification: pages, tiles, planes, 64-bit offsets, 16-bit colours."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.preprocessing import ImageError, preprocess
from tests.models.preprocessing.image_files import decode, encode, fault_of, noise, spec_for

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, ROWS, COUNTS = (
    *(256, 257, 258, 259, 262, 273, 277, 278, 279),
)
PLANES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_COUNTS, EXTRA, SAMPLE_FORMAT = 284, 322, 323, 324, 325, 338, 339


def tiff_file(parts: list[bytes], entries: dict[int, list[int]], tiled: bool = False, big: bool = False) -> bytes:
    """One page, little-endian, of strips or tiles; all values as LONG, 64-bit ones in a BigTIFF."""
    places, counts = (TILES, TILE_COUNTS) if tiled else (STRIPS, COUNTS)
    entries = {**entries, places: [0] * len(parts), counts: [len(part) for part in parts]}
    number, size, kind = ("Q", 8, 16) if big else ("I", 4, 4)
    start = 16 if big else 8
    length = (8 if big else 2) + (20 if big else 12) * len(entries) + size
    lists = {tag: values for tag, values in entries.items() if len(values) > 1}
    position = start + length + sum(size * len(values) for values in lists.values())
    entries[places] = [position + sum(map(len, parts[:index])) for index in range(len(parts))]
    directory, tail = b"", b""
    for tag in sorted(entries):
        values = entries[tag]
        content = b"".join(struct.pack(f"<{number}", value) for value in values)
        if len(values) > 1:
            content, tail = struct.pack(f"<{number}", start + length + len(tail)), tail + content
        directory += struct.pack(f"<HH{number}", tag, kind, len(values)) + content
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
    count = struct.pack("<Q" if big else "<H", len(entries))
    return head + count + directory + bytes(size) + tail + b"".join(parts)


def page(pixels: NDArray[Any], **more: list[int]) -> dict[int, list[int]]:
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    return {
        WIDTH: [pixels.shape[1]],
        HEIGHT: [pixels.shape[0]],
        BITS: [pixels.itemsize * 8] * samples,
        COMPRESSION: [1],
        PHOTOMETRIC: [1 if samples == 1 else 2],
        SAMPLES: [samples],
    }


def rgb16(height: int = 12, width: int = 14) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 65536, (height, width, 3)).astype("<u2")


class TestSixteenBitColour:
    @pytest.mark.parametrize("big", [False, True])
    def test_is_scaled(self, big: bool) -> None:
        """To one step: Pillow keeps the upper byte and does not round."""
        values = rgb16()
        data = tiff_file([values.tobytes()], page(values) | {ROWS: [12]}, big=big)
        assert np.abs(decode(data, 12, 14) - values / 257).max() <= 1

    def test_in_strips(self) -> None:
        values = rgb16()
        parts = [values[row : row + 5].tobytes() for row in (0, 5, 10)]
        assert np.abs(decode(tiff_file(parts, page(values) | {ROWS: [5]}), 12, 14) - values / 257).max() <= 1

    def test_with_alpha(self) -> None:
        values = np.dstack([rgb16(), np.full((12, 14), 65535, "<u2")])
        data = tiff_file([values.tobytes()], page(values) | {ROWS: [12], EXTRA: [2]})
        assert np.abs(decode(data, 12, 14) - values[..., :3] / 257).max() <= 1


def test_colours_of_8_bits_in_planes() -> None:
    colour = noise(12, 14, 3)
    parts = [colour[..., index].tobytes() for index in range(3)]
    assert np.array_equal(decode(tiff_file(parts, page(colour) | {ROWS: [12], PLANES: [2]}), 12, 14), colour)


@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles(big: bool, dtype: type[Any]) -> None:
    """Of 16 by 16, of which those at the edges are only partly used."""
    picture: NDArray[Any] = noise(40, 50).astype(dtype) * (257 if dtype == np.uint16 else 1)
    padded: NDArray[Any] = np.zeros((48, 64), dtype)
    padded[:40, :50] = picture
    parts = [padded[row : row + 16, left : left + 16].tobytes() for row in (0, 16, 32) for left in (0, 16, 32, 48)]
    data = tiff_file(parts, page(picture) | {TILE_WIDTH: [16], TILE_HEIGHT: [16]}, tiled=True, big=big)
    assert np.array_equal(decode(data, 40, 50, channels=1)[..., 0], noise(40, 50))


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}, {"compression": "tiff_lzw"}])
def test_pages_are_counted_from_one(options: dict[str, Any]) -> None:
    pages = [noise(9, 11, 3, seed=0), noise(12, 14, 3, seed=1), noise(7, 8, 3, seed=2)]
    first, *others = map(Image.fromarray, pages)
    data = encode(first, "TIFF", save_all=True, append_images=others, **options)
    for number, picture in enumerate(pages, start=1):
        result = preprocess(data, spec_for(*picture.shape[:2]), frame=number)
        assert np.array_equal(result.pixels, picture)
        assert (result.frame, result.height, result.width) == (number, *picture.shape[:2])
    assert preprocess(data, spec_for(8, 8)).frame == 1
    for number in (0, 4, 65536):
        assert fault_of(data, frame=number) == "frame"


def test_a_large_page_behind_a_small_one() -> None:
    data = encode(Image.new("L", (4, 4)), "TIFF", save_all=True, append_images=[Image.new("L", (300, 400))])
    assert preprocess(data, spec_for(8, 8), max_pixels=1000).frame == 1
    assert fault_of(data, frame=2, max_pixels=1000) == "too-large"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "WEBP", "MPO"])
def test_other_files_are_one_picture(file_format: str) -> None:
    data = encode(noise(9, 11, 3), file_format)
    assert preprocess(data, spec_for(8, 8), frame=1).frame == 1
    assert fault_of(data, frame=2) == "frame"


@pytest.mark.parametrize(("dtype", "sample_format"), [(np.int8, 2), (np.int16, 2), (np.float32, 3), (np.uint32, 1)])
def test_pixels_without_a_stated_range(dtype: type[Any], sample_format: int) -> None:
    values: NDArray[Any] = np.ones((12, 14), dtype)
    data = tiff_file([values.tobytes()], page(values) | {ROWS: [12], SAMPLE_FORMAT: [sample_format]})
    assert fault_of(data) == "unsupported"


def test_unsupported_pixels_message_says_what_to_save() -> None:
    values = np.ones((12, 14, 5), np.uint8)
    with pytest.raises(ImageError, match="grey or RGB with 8 or 16 bits") as caught:
        preprocess(tiff_file([values.tobytes()], page(values) | {ROWS: [12]}), spec_for(8, 8))
    assert caught.value.fault == "unsupported"


@pytest.mark.parametrize("extra", [1, 2], ids=["associated", "unassociated"])
@pytest.mark.parametrize("samples", [2, 4])
def test_alpha_of_a_tiff_is_composited_on_black(samples: int, extra: int) -> None:
    """TIFF 6.0, section 18: associated alpha is multiplied already."""
    pixels = noise(5, 4, samples)
    alpha = pixels[..., -1:].astype(float)
    if extra == 1:
        pixels[..., :-1] = np.minimum(pixels[..., :-1], pixels[..., -1:])
    wanted = pixels[..., :-1] * (1.0 if extra == 1 else alpha / 255)
    entries = page(pixels) | {EXTRA: [extra], PHOTOMETRIC: [1 if samples == 2 else 2]}
    shown = decode(tiff_file([pixels.tobytes()], entries), 5, 4)
    assert np.abs(shown - wanted).max() <= 2


@pytest.mark.parametrize("extra", [0, 1, 2], ids=["unused", "associated", "unassociated"])
@pytest.mark.parametrize("compression", [1, 8, 32946], ids=["plain", "deflate", "old-deflate"])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
def test_grey_of_16_bits_with_alpha(extra: int, compression: int, big: bool) -> None:
    """Within half a step of the exact value, since Pillow's table has no such pixels and none is rounded twice."""
    samples = np.random.default_rng(0).integers(0, 65536, (12, 14, 2)).astype("<u2")
    wanted = samples[..., :1] / 257 * (samples[..., 1:] / 65535 if extra == 2 else 1)
    if extra == 1:  # more grey than alpha is not possible: cut off, as at 8 bits
        wanted = np.minimum(wanted, samples[..., 1:] / 257)
    parts = [samples[row : row + 5].tobytes() for row in (0, 5, 10)]
    parts = parts if compression == 1 else list(map(zlib.compress, parts))
    entries = page(samples) | {ROWS: [5], EXTRA: [extra], PHOTOMETRIC: [1], COMPRESSION: [compression]}
    assert np.abs(decode(tiff_file(parts, entries, big=big), 12, 14) - wanted).max() <= 0.501


@pytest.mark.parametrize("compression", [1, 8], ids=["plain", "deflate"])
def test_big_endian_grey_of_16_bits_with_alpha(compression: int) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (3, 4, 2)).astype(">u2")
    part = samples.tobytes() if compression == 1 else zlib.compress(samples.tobytes())
    values = [(WIDTH, 4), (HEIGHT, 3), (COMPRESSION, compression), (PHOTOMETRIC, 1), (STRIPS, 110), (SAMPLES, 2)]
    values += [(ROWS, 3), (COUNTS, len(part)), (EXTRA, 2)]
    entries = [struct.pack(">HHII", tag, 4, 1, value) for tag, value in values]
    entries.append(struct.pack(">HHIHH", BITS, 3, 2, 16, 16))
    head = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + b"".join(sorted(entries)) + bytes(4)
    place = len(head)
    data = head.replace(struct.pack(">HHII", STRIPS, 4, 1, 110), struct.pack(">HHII", STRIPS, 4, 1, place)) + part
    wanted = samples[..., :1] / 257 * (samples[..., 1:] / 65535)
    assert np.abs(decode(data, 3, 4) - wanted).max() <= 0.501


def test_palette_of_8_bits_in_a_tiff() -> None:
    """libtiff's rule: a table without a value above 255 is one of 8 bits."""
    colours, indices = noise(256, 3), noise(9, 7)
    entries = page(indices) | {PHOTOMETRIC: [3], 320: colours.T.ravel().tolist()}
    assert np.array_equal(decode(tiff_file([indices.tobytes()], entries), 9, 7), colours[indices])
