"""What can't be used, and what the words about it are."""

import struct
import warnings

import pytest
from PIL import ImageFile

from models.preprocessing import FORMATS, ImageError, preprocess
from tests.models.preprocessing.corpus import VALID
from tests.models.preprocessing.image_files import encode, fault_of, noise, png, spec_for, tiff


class TestFaults:
    def test_empty(self) -> None:
        assert fault_of(b"") == "empty"

    @pytest.mark.parametrize(
        "data",
        [
            b"plain text",
            b"\0",
            b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
            encode(noise(4, 4), "GIF"),
            encode(noise(16, 16, 3), "ICO"),
            encode(noise(4, 4, 3), "PPM"),
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x89PNG",
        ],
        ids=["text", "zero", "pdf", "gif", "ico", "ppm", "svg", "signature only"],
    )
    def test_unrecognised(self, data: bytes) -> None:
        assert fault_of(data) == "unrecognised"

    def test_unrecognised_names_the_formats(self) -> None:
        with pytest.raises(ImageError) as caught:
            preprocess(b"plain text", spec_for(8, 8))
        assert all(name in str(caught.value) for name in FORMATS)

    @pytest.mark.parametrize("name", ["jpeg", "png", "tiff", "tiff-lzw", "bmp", "webp"])
    def test_half_a_file_is_damaged_or_unrecognised(self, name: str) -> None:
        data = VALID[name]
        assert fault_of(data[: len(data) // 2]) in {"damaged", "unrecognised"}

    @pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "webp"])
    def test_damage_message_says_what_to_do(self, name: str) -> None:
        data = VALID[name]
        with pytest.raises(ImageError, match="whole file was sent") as caught:
            preprocess(data[: len(data) * 4 // 5], spec_for(8, 8))
        assert caught.value.fault == "damaged"


def claiming(name: str, width: int, height: int) -> bytes:
    """A small file whose header says that it has this size."""
    if name == "png":
        return png(width, height, 8, 2)
    data = bytearray(encode(noise(8, 8, 3), name.upper(), **({"lossless": True} if name == "webp" else {})))
    match name:
        case "jpeg":  # start of frame: marker, length, precision, height, width
            frame = data.index(b"\xff\xc0")
            data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
        case "bmp":
            data[18:26] = struct.pack("<ii", width, height)
        case "webp":  # 14 bits each for width - 1 and height - 1, after the signature 0x2f
            start = data.index(b"VP8L") + 9
            data[start : start + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
        case "tiff":
            data = bytearray(tiff(noise(8, 8), 8))
            for tag, value in ((256, width), (257, height)):
                place = data.index(struct.pack("<HHII", tag, 4, 1, 8)) + 8
                data[place : place + 4] = struct.pack("<I", value)
    return bytes(data)


class TestTooLarge:
    @pytest.mark.parametrize(
        ("name", "width", "height"),
        [
            ("png", 100_000, 100_000),
            ("png", 2**31 - 1, 1),
            ("jpeg", 65_500, 65_500),
            ("bmp", 100_000, 100_000),
            ("tiff", 100_000, 100_000),
            ("webp", 16_383, 16_383),
        ],
    )
    def test_is_refused_before_decoding(
        self, name: str, width: int, height: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def decoded(*_: object) -> None:
            pytest.fail("decoded")

        data = claiming(name, width, height)
        monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
        with pytest.raises(ImageError, match=f"{width} x {height} = {width * height:,} pixels") as caught:
            preprocess(data, spec_for(8, 8))
        assert caught.value.fault == "too-large"

    def test_the_limit_is_inclusive(self) -> None:
        data = encode(noise(10, 12, 3), "PNG")
        assert preprocess(data, spec_for(8, 8), max_pixels=120).pixels.shape == (8, 8, 3)
        assert fault_of(data, max_pixels=119) == "too-large"

    def test_fifty_megapixels_by_default(self) -> None:
        assert fault_of(png(10_000, 5_001, 8, 0)) == "too-large"
        assert fault_of(png(10_000, 5_000, 8, 0)) == "damaged"  # no pixels in it, but tried

    def test_pillows_own_limit_is_off(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert fault_of(png(20_000, 20_000, 8, 0), max_pixels=10**9) == "damaged"
