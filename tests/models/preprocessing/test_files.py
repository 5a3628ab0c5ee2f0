"""Files that Pillow reads, made here with pixels known beforehand, through :func:`models.preprocessing.preprocess`."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from models.preprocessing import ImageError, preprocess
from tests.models.preprocessing.image_files import (
    LOSSLESS,
    Pixels,
    decode,
    encode,
    lossless,
    noise,
    orientation,
    png,
    smooth,
    spec_for,
    tiff,
)

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


class TestDecoding:
    @lossless
    def test_lossless_formats(self, file_format: str, options: dict[str, Any]) -> None:
        picture = noise(13, 21, 3)
        result = preprocess(encode(picture, file_format, **options), spec_for(13, 21))
        assert np.array_equal(result.pixels, picture)
        assert result.pixels.dtype == np.uint8
        assert (result.width, result.height, result.format) == (21, 13, file_format)

    @pytest.mark.parametrize(
        "options",
        [{"quality": 95, "subsampling": 0}, {"quality": 95, "progressive": True}, {"quality": 90}],
        ids=["4:4:4", "progressive", "4:2:0"],
    )
    @pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
    def test_lossy_formats(self, file_format: str, options: dict[str, Any]) -> None:
        picture = smooth(40, 56)
        result = preprocess(encode(picture, file_format, **options), spec_for(40, 56))
        assert np.abs(result.pixels.astype(int) - picture).mean() < 2
        assert result.format == file_format

    def test_result_can_be_written_to(self) -> None:
        pixels = decode(encode(noise(4, 4, 3), "PNG"), 4, 4)
        pixels[0, 0] = 1  # onnxruntime and torch both want memory of the caller's own

    def test_phone_pictures_of_several_parts_give_the_first(self) -> None:
        first, second = smooth(40, 56, seed=1), smooth(40, 56, seed=2)
        file = encode(first, "MPO", save_all=True, append_images=[Image.fromarray(second)], quality=95)
        result = preprocess(file, spec_for(40, 56))
        assert np.abs(result.pixels.astype(int) - first).mean() < 2
        assert result.format == "JPEG"

    @pytest.mark.parametrize(
        ("file_format", "options"), [("TIFF", {}), ("WEBP", {"lossless": True}), ("PNG", {})], ids=lambda v: str(v)
    )
    def test_the_first_of_several_frames(self, file_format: str, options: dict[str, Any]) -> None:
        first, second = noise(8, 9, 3, seed=1), noise(8, 9, 3, seed=2)
        file = encode(first, file_format, save_all=True, append_images=[Image.fromarray(second)], **options)
        assert np.array_equal(decode(file, 8, 9), first)


# Exif 2.32, tag 0x0112: which side of the upright picture the stored picture's first row and column are.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


class TestOrientation:
    @pytest.mark.parametrize("value", UPRIGHT)
    @pytest.mark.parametrize("form", ["png", "tiff", "tiff-lzw", "webp"])
    def test_lossless(self, form: str, value: int) -> None:
        stored = noise(6, 11, 3)
        upright = UPRIGHT[value](stored)
        file_format, options = LOSSLESS[form]
        file = encode(stored, file_format, exif=orientation(value), **options)
        result = preprocess(file, spec_for(*upright.shape[:2]))
        assert np.array_equal(result.pixels, upright)
        assert (result.height, result.width) == upright.shape[:2]

    @pytest.mark.parametrize("value", UPRIGHT)
    def test_jpeg(self, value: int) -> None:
        stored = smooth(48, 80)
        upright = UPRIGHT[value](stored)
        file = encode(stored, "JPEG", quality=95, subsampling=0, exif=orientation(value))
        result = preprocess(file, spec_for(*upright.shape[:2]))
        assert np.abs(result.pixels.astype(int) - upright).mean() < 2
        assert (result.height, result.width) == upright.shape[:2]

    @pytest.mark.parametrize("value", UPRIGHT)
    def test_16_bits(self, value: int) -> None:
        stored = noise(6, 11)
        upright = UPRIGHT[value](stored)
        file = encode(Image.fromarray(stored.astype(np.uint16) * 257), "PNG", exif=orientation(value))
        pixels = preprocess(file, spec_for(upright.shape[0], upright.shape[1], 1)).pixels
        assert np.array_equal(pixels[..., 0], upright)

    @pytest.mark.parametrize(("width", "height"), [(1000, 999), (999, 1000), (1601, 1600), (160, 160)])
    def test_size_is_upright_also_where_the_reduced_jpeg_is_square(self, width: int, height: int) -> None:
        file = encode(Image.new("RGB", (width, height)), "JPEG", exif=orientation(6))
        result = preprocess(file, spec_for(20, 20))
        assert (result.width, result.height) == (height, width)

    def test_orientation_comes_before_the_crop(self) -> None:
        stored = noise(6, 11, 3)
        file = encode(stored, "PNG", exif=orientation(6))
        upright = np.rot90(stored, -1)
        result = preprocess(file, spec_for(6, 6, crop="centre-square"))
        assert np.array_equal(result.pixels, upright[2:8])

    @pytest.mark.parametrize("value", [0, 9, 65535])
    def test_a_value_without_meaning_is_as_none(self, value: int) -> None:
        stored = noise(6, 11, 3)
        assert np.array_equal(decode(encode(stored, "PNG", exif=orientation(value)), 6, 11), stored)


class TestPixelFormats:
    @pytest.mark.parametrize("form", ["png", "tiff", "tiff-big-endian", "tiff-deflate"])
    def test_16_bit_grey_is_scaled(self, form: str) -> None:
        """Every one of the 65,536 values: v / 257, rounded; so 65535 is 255 and 257 k is k."""
        values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        files = {
            "png": lambda: encode(Image.fromarray(values), "PNG"),
            "tiff": lambda: tiff(values, 16),
            "tiff-big-endian": lambda: tiff(values, 16, order=">"),
            "tiff-deflate": lambda: encode(Image.fromarray(values), "TIFF", compression="tiff_deflate"),
        }
        wanted = np.rint(values.astype(np.float64) / 257)
        assert np.array_equal(decode(files[form](), 256, 256, channels=1)[..., 0], wanted)

    def test_16_bit_colour_is_scaled(self) -> None:
        eight = noise(5, 7, 3)
        rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in eight)
        assert np.array_equal(decode(png(7, 5, 16, 2, rows), 5, 7), eight)

    def test_16_bit_grey_is_scaled_before_it_is_resized(self) -> None:
        steep = np.array([[0, 65535] * 8] * 16, dtype=np.uint16)
        result = decode(encode(Image.fromarray(steep), "PNG"), 4, 4, channels=1)
        assert abs(result.mean() - 127.5) < 2

    @pytest.mark.parametrize("bits", [8, 16])
    def test_white_is_zero_is_inverted(self, bits: int) -> None:
        """TIFF 6.0, PhotometricInterpretation 0."""
        eight = noise(5, 6)
        values = eight if bits == 8 else eight.astype(np.uint16) * 257
        assert np.array_equal(decode(tiff(values, bits, photometric=0), 5, 6, channels=1)[..., 0], 255 - eight)

    def test_12_bit_grey_is_scaled_by_its_own_range(self) -> None:
        white = np.full((4, 6), 255, dtype=np.uint8)  # 6 bytes are 4 pixels of 12 bits
        assert (decode(tiff(white, 12), 4, 4, channels=1) == 255).all()

    def test_palette(self) -> None:
        indices, palette = noise(6, 7), noise(256, 3, seed=1)
        image = Image.fromarray(indices, "P")
        image.putpalette(palette.tobytes())
        for file_format in ("PNG", "TIFF", "BMP"):
            assert np.array_equal(decode(encode(image, file_format), 6, 7), palette[indices]), file_format

    def test_palette_with_transparency(self) -> None:
        indices, palette, alpha = noise(6, 7), noise(256, 3, seed=1), noise(256, 1, seed=2)[:, 0]
        image = Image.fromarray(indices, "P")
        image.putpalette(palette.tobytes())
        file = encode(image, "PNG", transparency=alpha.tobytes())
        wanted = palette[indices] * (alpha[indices][..., None] / 255)
        assert np.abs(decode(file, 6, 7) - wanted).max() <= 1

    @pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
    def test_alpha_is_laid_over_black(self, file_format: str) -> None:
        picture = noise(6, 7, 4)
        picture[0, 0], picture[0, 1] = (200, 100, 50, 0), (200, 100, 50, 255)
        options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
        pixels = decode(encode(picture, file_format, **options), 6, 7)
        assert np.abs(pixels - picture[..., :3] * (picture[..., 3:] / 255)).max() <= 1
        assert pixels[0, 0].tolist() == [0, 0, 0]
        assert pixels[0, 1].tolist() == [200, 100, 50]

    @pytest.mark.parametrize("channels", [1, 3])
    def test_grey_with_alpha(self, channels: Literal[1, 3]) -> None:
        picture = noise(6, 7, 2)
        wanted = picture[..., :1] * (picture[..., 1:] / 255)
        pixels = decode(encode(Image.fromarray(picture, "LA"), "PNG"), 6, 7, channels)
        assert pixels.shape == (6, 7, channels)
        assert np.abs(pixels - wanted).max() <= 1

    @pytest.mark.parametrize(
        ("mode", "colour", "key"),
        [("RGB", (200, 100, 50), (200, 100, 50)), ("L", 200, 200), ("1", 1, 1)],
    )
    def test_a_transparent_colour_is_laid_over_black(self, mode: str, colour: Any, key: Any) -> None:
        """PNG's tRNS chunk of one colour for the whole picture."""
        image = Image.new(mode, (4, 3), colour)
        image.putpixel((0, 0), 0 if mode != "RGB" else (9, 8, 7))
        assert decode(encode(image, "PNG"), 3, 4)[1:].min() > 0
        pixels = decode(encode(image, "PNG", transparency=key), 3, 4)
        assert pixels[1:].max() == 0
        assert pixels[0, 0].tolist() == ([9, 8, 7] if mode == "RGB" else [0, 0, 0])

    @pytest.mark.parametrize(("kind", "samples"), [(0, 1), (2, 3)])
    def test_a_transparent_colour_of_16_bits_is_composited_on_black(self, kind: int, samples: int) -> None:
        """PNG 3rd edition, 11.3.1.1: the value is of 16 bits too."""
        values = np.random.default_rng(0).integers(0x1000, 0xFFFF, (5, 4, samples)).astype(">u2")
        rows = b"".join(b"\0" + row.tobytes() for row in values)
        header = struct.pack(">IIBBBBB", 4, 5, 16, kind, 0, 0, 0)
        parts = [(b"IHDR", header), (b"tRNS", values[2, 1].tobytes()), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        png = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in parts
        )
        shown = decode(png, 5, 4, 3 if samples == 3 else 1)
        wanted = np.rint(values / 257)
        wanted[2, 1] = 0
        assert np.abs(shown - wanted).max() <= 1
        assert shown[2, 1].max() == 0

    def test_lossless_jpeg_is_the_same_for_every_input(self) -> None:
        """Grey and colour, at a size that would otherwise be decoded at a reduced scale."""
        for name in ("jpeg_lossless_grey8.jpg", "jpeg_lossless_rgb8.jpg"):
            path = FIXTURES / name
            whole = decode(path.read_bytes(), 128, 128)
            small = preprocess(path.read_bytes(), spec_for(16, 16)).pixels
            wanted = Image.fromarray(whole).resize((16, 16), Image.Resampling.BICUBIC)
            assert np.array_equal(small, np.asarray(wanted))
            assert preprocess(path.read_bytes(), spec_for(16, 16, 1)).pixels.std() > 10

    def test_cmyk(self) -> None:
        inks = noise(6, 7, 4)
        wanted = (255 - inks[..., :3].astype(int)) * (255 - inks[..., 3:].astype(int)) / 255
        assert np.abs(decode(encode(Image.fromarray(inks, "CMYK"), "TIFF"), 6, 7) - wanted).max() <= 1

    @pytest.mark.parametrize("inks", [(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255), (0, 0, 0, 0)])
    def test_cmyk_jpeg(self, inks: tuple[int, ...]) -> None:
        """Adobe's JPEG files hold CMYK inverted."""
        wanted = [(255 - ink) * (255 - inks[3]) / 255 for ink in inks[:3]]
        pixels = decode(encode(Image.new("CMYK", (16, 16), inks), "JPEG", quality=95), 16, 16)
        assert np.abs(pixels - wanted).max() <= 3

    @pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
    def test_one_bit(self, file_format: str) -> None:
        bits = noise(6, 11) > 127
        pixels = decode(encode(Image.fromarray(bits), file_format), 6, 11, channels=1)
        assert np.array_equal(pixels[..., 0], bits * 255)

    @pytest.mark.parametrize("dtype", [np.float32, np.int32])
    def test_32_bits_are_refused(self, dtype: type) -> None:
        with pytest.raises(ImageError, match="8 or 16 bits") as caught:
            decode(encode(Image.fromarray(np.ones((4, 4), dtype)), "TIFF"), 4, 4)
        assert caught.value.fault == "unsupported"

    @lossless
    def test_grey_to_three_equal_channels(self, file_format: str, options: dict[str, Any]) -> None:
        grey = noise(6, 7)
        pixels = decode(encode(Image.fromarray(grey), file_format, **options), 6, 7)
        assert np.array_equal(pixels, np.stack([grey] * 3, axis=2))

    @lossless
    def test_colour_to_one_channel(self, file_format: str, options: dict[str, Any]) -> None:
        """Luma of ITU-R BT.601."""
        picture = noise(6, 7, 3)
        luma = picture @ np.array([0.299, 0.587, 0.114])
        pixels = decode(encode(picture, file_format, **options), 6, 7, channels=1)
        assert pixels.shape == (6, 7, 1)
        assert np.abs(pixels[..., 0] - luma).max() <= 1

    def test_colour_jpeg_to_one_channel(self) -> None:
        picture = smooth(40, 56)
        luma = picture @ np.array([0.299, 0.587, 0.114])
        pixels = decode(encode(picture, "JPEG", quality=95), 40, 56, channels=1)
        assert np.abs(pixels[..., 0] - luma).mean() < 2
