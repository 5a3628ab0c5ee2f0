"""PNG's transparent colour at every depth, against the specification: the whole value counts, and nothing else."""

import struct

import numpy as np
import pytest

from tests.models.preprocessing.image_files import decode, png


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey(depth: int) -> None:
    white = 2**depth - 1
    values = np.random.default_rng(0).integers(0, white, (5, 16), endpoint=True)
    values[0, 0] = key = max(1, white // 3)
    bits = (values[..., None] >> np.arange(depth)[::-1] & 1).astype(np.uint8)
    rows = b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in bits)
    shown = decode(png(16, 5, depth, 0, rows, (b"tRNS", struct.pack(">H", key))), 5, 16, 1)[..., 0]
    assert np.array_equal(shown, np.where(values == key, 0, np.rint(values / white * 255)))


@pytest.mark.parametrize("depth", [8, 16])
def test_colour(depth: int) -> None:
    """Of 16 bits also where the upper bytes are those of a colour that stays."""
    dtype = np.dtype(">u1" if depth == 8 else ">u2")
    values = np.random.default_rng(0).integers(256, 2**16, (5, 4, 3)) >> (16 - depth)
    values[0, 1] = values[0, 0] ^ 1
    rows = b"".join(b"\0" + row.astype(dtype).tobytes() for row in values)
    key = struct.pack(">3H", *(int(value) for value in values[0, 0]))
    shown = decode(png(4, 5, depth, 2, rows, (b"tRNS", key)), 5, 4)
    wanted = values / (2**depth - 1) * 255
    wanted[0, 0] = 0
    assert np.abs(shown - wanted).max() <= 1
    assert shown[0, 0].max() == 0
