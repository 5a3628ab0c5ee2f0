"""Codestreams that say other than the file round them, or ask for more work than any encoder makes."""

import struct

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from models.preprocessing.codestream import MAX_SCANS, read_jpeg, read_jpeg_2000
from tests.models.preprocessing.dicom_files import dataset, picture_of, written
from tests.models.preprocessing.image_files import encode, fault_of, noise


def with_frame(frame: bytes, syntax: uid.UID, rows: int = 40, columns: int = 48) -> bytes:
    image = dataset(noise(rows, columns))
    image.PixelData = encapsulate([frame])
    return written(image, syntax)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"x" * 60_000}])
def test_jpeg(options: dict[str, object]) -> None:
    assert read_jpeg(encode(noise(40, 48, 3), "JPEG", **options)) == (48, 40, 3, 8)
    assert read_jpeg(encode(noise(41, 7), "JPEG", **options)) == (7, 41, 1, 8)


def test_jpeg_2000() -> None:
    assert read_jpeg_2000(encode(noise(40, 48, 3), "JPEG2000", no_jp2=True)) == (48, 40, 3, 8)
    deep = noise(40, 48).astype(np.uint16) * 257
    assert read_jpeg_2000(encode_deep(deep)) == (48, 40, 1, 16)


def encode_deep(pixels: np.ndarray) -> bytes:
    from PIL import Image

    return encode(Image.fromarray(pixels), "JPEG2000", no_jp2=True)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_another_size_than_the_header_s(kind: str) -> None:
    syntax = uid.JPEGBaseline8Bit if kind == "JPEG" else uid.JPEG2000Lossless
    options = {} if kind == "JPEG" else {"no_jp2": True}
    for rows, columns in ((400, 480), (48, 40), (40, 49)):
        assert fault_of(with_frame(encode(noise(rows, columns), kind, **options), syntax)) == "damaged"
    assert fault_of(with_frame(encode(noise(40, 48, 3), kind, **options), syntax)) == "damaged"


def test_a_jpeg_2000_of_countless_tiles() -> None:
    """A tile a pixel: 60 kB of which OpenJPEG would make hundreds of megabytes."""
    frame = bytearray(encode(noise(240, 250), "JPEG2000", no_jp2=True))
    frame[24:32] = struct.pack(">II", 1, 1)
    with pytest.raises(ValueError, match="tiles"):
        read_jpeg_2000(bytes(frame))
    assert fault_of(with_frame(bytes(frame), uid.JPEG2000Lossless, 240, 250)) == "damaged"


def test_a_jpeg_of_countless_scans() -> None:
    """Each scan is a pass over the whole picture, and takes ten bytes."""
    data = encode(noise(40, 48), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    bomb = data[:-2] + scan * MAX_SCANS + data[-2:]
    assert fault_of(bomb) == "unsupported"
    assert fault_of(with_frame(bomb, uid.JPEGBaseline8Bit)) == "damaged"


@pytest.mark.parametrize("segment", [b"\x81\xff" * 20_000, b"\x00", b"", b"\x80" * 50])
def test_run_lengths_of_more_or_less_than_the_picture(segment: bytes) -> None:
    """What is left over is not unpacked; what is missing is damage."""
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + segment
    data = with_frame(frame, uid.RLELossless)
    if len(segment) > 1000:
        assert (picture_of(data) == 255).all()
    else:
        assert fault_of(data) == "damaged"


def test_run_lengths_across_rows() -> None:
    """The standard forbids it (PS3.5 G.3.1), and some writers do it."""
    runs = b"\x81\x07" * 15  # 15 runs of 128 are 40 rows of 48
    data = with_frame(struct.pack("<16I", 1, 64, *[0] * 14) + runs, uid.RLELossless)
    assert (picture_of(data) == 7).all()


def test_more_segments_than_the_samples_need() -> None:
    frame = struct.pack("<16I", 15, *[64] * 15) + b"\x81\x07" * 15
    assert fault_of(with_frame(frame, uid.RLELossless)) == "damaged"


def test_a_jpeg_2000_in_a_file_format() -> None:
    """Against the standard (PS3.5 A.4.4), and seen."""
    picture = noise(40, 48)
    data = with_frame(encode(picture, "JPEG2000"), uid.JPEG2000Lossless)
    assert np.array_equal(picture_of(data), picture)
