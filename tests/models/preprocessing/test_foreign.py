"""Files of formats that are not read are called by their names."""

import struct

import pytest

from models.preprocessing import ImageError, preprocess
from tests.models.preprocessing.image_files import encode, noise, spec_for


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (encode(noise(4, 4), "GIF"), "GIF"),
        (encode(noise(4, 4), "PPM"), "PGM"),
        (encode(noise(4, 4, 3), "PDF"), "PDF"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        (b"\0\0\0\x18ftypavif" + bytes(50), "AVIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "JPEG 2000"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_format_is_named(data: bytes, named: str) -> None:
    with pytest.raises(ImageError, match=f"of the format {named}, .* send one of JPEG, PNG") as caught:
        preprocess(data, spec_for(8, 8))
    assert caught.value.fault == "unrecognised"


@pytest.mark.parametrize(("marker", "bits", "said"), [(0xC1, 12, "of 12 bits"), (0xF7, 8, "JPEG-LS")])
def test_a_jpeg_that_is_whole_but_not_read(marker: int, bits: int, said: str) -> None:
    frame = struct.pack(">BBHBHHBBBB", 0xFF, marker, 11, bits, 4, 4, 1, 1, 0x11, 0)
    with pytest.raises(ImageError, match=said) as caught:
        preprocess(b"\xff\xd8" + frame + b"\xff\xd9", spec_for(8, 8))
    assert caught.value.fault == "unsupported"
