"""Colours in planes and grey with alpha, against arithmetic on the pixels that were written."""

import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.preprocessing import ImageError, preprocess
from tests.models.preprocessing.image_files import decode, fault_of, noise, spec_for
from tests.models.preprocessing.repairs.test_tiff import (
    BITS,
    COMPRESSION,
    EXTRA,
    PHOTOMETRIC,
    PLANES,
    ROWS,
    SAMPLE_FORMAT,
    page,
    tiff_file,
)

UNUSED, ASSOCIATED, UNASSOCIATED = 0, 1, 2


def random(samples: int, dtype: type[Any]) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (12, 14, samples), endpoint=True).astype(dtype)


def on_black(pixels: NDArray[Any], colours: int, extra: int | None, white_is_zero: bool) -> NDArray[np.float64]:
    """By TIFF 6.0: levels of 0 to 255, of which those beyond an associated alpha are cut off."""
    share = pixels / np.iinfo(pixels.dtype).max
    colour = 1 - share[..., :colours] if white_is_zero else share[..., :colours]
    if extra == UNASSOCIATED:
        colour = colour * share[..., colours:]
    if extra == ASSOCIATED:
        colour = np.minimum(colour, share[..., colours:])
    return colour * 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [1, 8], ids=["plain", "deflate"])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
class TestPlanes:
    @pytest.mark.parametrize("extra", [None, UNUSED, ASSOCIATED, UNASSOCIATED])
    @pytest.mark.parametrize(("colours", "photometric"), [(3, 2), (1, 1), (1, 0)], ids=["rgb", "grey", "white-is-zero"])
    def test_are_put_together(
        self, dtype: type[Any], compression: int, big: bool, colours: int, photometric: int, extra: int | None
    ) -> None:
        samples = colours + (extra is not None)
        pixels = random(samples, dtype)
        parts = [pixels[row : row + 5, :, index].tobytes() for index in range(samples) for row in (0, 5, 10)]
        parts = parts if compression == 1 else [zlib.compress(part) for part in parts]
        entries = page(pixels) | {ROWS: [5], PLANES: [2], COMPRESSION: [compression], PHOTOMETRIC: [photometric]}
        entries |= {} if extra is None else {EXTRA: [extra]}
        wanted = on_black(pixels, colours, extra, photometric == 0)
        assert np.abs(decode(tiff_file(parts, entries, big=big), 12, 14) - wanted).max() <= 0.501


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [1, 8], ids=["plain", "deflate"])
@pytest.mark.parametrize("extra", [UNUSED, ASSOCIATED, UNASSOCIATED])
def test_white_is_zero_with_alpha(dtype: type[Any], compression: int, extra: int) -> None:
    pixels = random(2, dtype)
    part = pixels.tobytes() if compression == 1 else zlib.compress(pixels.tobytes())
    entries = page(pixels) | {ROWS: [12], COMPRESSION: [compression], PHOTOMETRIC: [0], EXTRA: [extra]}
    assert np.abs(decode(tiff_file([part], entries), 12, 14) - on_black(pixels, 1, extra, True)).max() <= 0.501


def test_ycbcr_with_fewer_colours_is_refused_where_pillow_would_read_on() -> None:
    """Six bytes hold four pixels, and behind them lies more of the file."""
    entries = page(noise(4, 4, 3)) | {ROWS: [4], PHOTOMETRIC: [6], 530: [2, 2]}
    data = tiff_file([bytes(24)], entries) + bytes(1000)
    assert fault_of(data) == "unsupported"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({BITS: [32] * 3, SAMPLE_FORMAT: [3] * 3}, r"32 \+ 32 \+ 32 bits, floating-point"),
        ({BITS: [6] * 3}, r"6 \+ 6 \+ 6 bits"),
        ({COMPRESSION: [50001]}, "compression 50001"),
    ],
)
def test_pixels_that_are_not_read_are_named(more: dict[int, list[int]], said: str) -> None:
    data = tiff_file([bytes(12 * 14 * 12)], page(noise(12, 14, 3)) | {ROWS: [12]} | more)
    with pytest.raises(ImageError, match=said) as caught:
        decode(data, 12, 14)
    assert caught.value.fault == "unsupported"
    assert fault_of(data[:-1]) == "damaged" or 50001 in more.get(COMPRESSION, [])


def test_a_directory_of_countless_long_lists_takes_no_time() -> None:
    """Each of 60,000 entries points to the same million numbers; pages follow one another in a circle."""
    entry = struct.pack("<HHII", 273, 4, 1_000_000, 8)
    data = (
        struct.pack("<2sHI", b"II", 42, 8)
        + struct.pack("<H", 60_000)
        + entry * 60_000
        + struct.pack("<I", 8)
        + bytes(4_000_000)
    )
    began = time.process_time()
    for frame in (1, 10**9):
        with pytest.raises(ImageError):
            preprocess(data, spec_for(8, 8), frame=frame)
    assert time.process_time() - began < 3
