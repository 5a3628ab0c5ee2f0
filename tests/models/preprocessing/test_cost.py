"""The cost of decoding by header, against the size of the picture that was written."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image
from pydicom import uid

from models.preprocessing.cost import DEAR, UNKNOWN, decoding_cost
from tests.models.preprocessing.dicom_files import dicom
from tests.models.preprocessing.image_files import noise


def saved(file_format: str, mode: str, width: int = 400, height: int = 300, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, file_format, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "cost"),
    [
        (saved("PNG", "L"), 400 * 300),
        (saved("PNG", "RGBA"), 400 * 300 * 4),
        (saved("PNG", "I;16"), 400 * 300 * 2),
        (saved("JPEG", "RGB"), 400 * 300 * 3 // 4),
        (saved("WEBP", "RGB"), 400 * 300 * 4),
        (saved("WEBP", "RGB", lossless=True), 400 * 300 * 4),
        (saved("WEBP", "RGBA"), 400 * 300 * 4),
    ],
)
def test_small_files(data: bytes, cost: int) -> None:
    assert decoding_cost(data) == pytest.approx(cost, rel=0.05)


def test_files_whose_bytes_are_the_pixels() -> None:
    for data in (saved("BMP", "RGB"), saved("TIFF", "L"), saved("TIFF", "RGB")):
        assert decoding_cost(data) == 3 * len(data)


def test_a_small_file_of_a_huge_picture_is_dear() -> None:
    head = struct.pack(">IIBBBBB", 7000, 7000, 16, 6, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    assert decoding_cost(b"\x89PNG\r\n\x1a\n" + chunk) == 7000 * 7000 * 8
    assert decoding_cost(saved("TIFF", "L", 7000, 7000, compression="tiff_lzw")) == 7000 * 7000
    assert decoding_cost(saved("JPEG", "L", 8000, 8000)) > DEAR


def test_many_scans_are_many_passes() -> None:
    one, many = saved("JPEG", "RGB"), saved("JPEG", "RGB", progressive=True)
    assert decoding_cost(many) > 3 * decoding_cost(one)


def test_dicom() -> None:
    data = dicom(noise(200, 240))
    assert decoding_cost(data) == 3 * len(data)
    assert decoding_cost(dicom(noise(200, 240), uid.RLELossless)) > DEAR


@pytest.mark.parametrize("start", [b"\x89PNG", b"\xff\xd8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"\x02\0\0\0", b"x"])
def test_what_is_not_understood_is_dear_and_quickly_so(start: bytes) -> None:
    assert decoding_cost(start) == UNKNOWN
    long = start + b"\xff\xe1\0\2" * 5_000_000
    began = time.thread_time()
    assert decoding_cost(long) > DEAR
    assert time.thread_time() - began < 0.5


def test_a_decoy_does_not_hide_the_size_of_a_dicom_file() -> None:
    def rows(value: int) -> bytes:
        return (
            b"\x28\x00\x10\x00US\x02\x00"
            + struct.pack("<H", value)
            + b"\x28\x00\x11\x00US\x02\x00"
            + struct.pack("<H", value)
        )

    data = bytes(128) + b"DICM" + rows(8) + rows(5000) + rows(9)
    assert decoding_cost(data) == 3 * 5000 * 5000
    assert decoding_cost(bytes(128) + b"DICM1.2.840.10008.1.2.4.80" + rows(8)) > DEAR
