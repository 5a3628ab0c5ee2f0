"""Image files made here, with pixels known beforehand, through :func:`models.preprocessing.preprocess`."""

import csv
import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

import models.preprocessing
from models.card import InputSpec
from models.preprocessing import FORMATS, ImageError, fit, preprocess

Pixels = NDArray[np.uint8]
Crop = Literal["centre-square", "none"]


def spec_for(height: int, width: int, channels: Literal[1, 3] = 3, crop: Crop = "none") -> InputSpec:
    return InputSpec(height=height, width=width, channels=channels, crop=crop)


def noise(height: int, width: int, *channels: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> Pixels:
    """A colour picture without a symmetry, that JPEG hardly changes."""
    few = Image.fromarray(noise(3, 4, 3, seed=seed))
    return np.asarray(few.resize((width, height), Image.Resampling.BICUBIC))


def encode(image: Pixels | Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def decode(data: bytes, height: int, width: int, channels: Literal[1, 3] = 3) -> Pixels:
    """The pixels as they come out where nothing needs cropping or resizing."""
    return preprocess(data, spec_for(height, width, channels)).pixels


def png(width: int, height: int, bits: int, kind: int, rows: bytes = b"", *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by its specification: bit depth, colour type, rows each led by a filter byte, other chunks."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def tiff(values: NDArray[Any], bits: int, *, photometric: int = 1, order: Literal["<", ">"] = "<") -> bytes:
    """An uncompressed grey TIFF file by its specification; photometric 0 is WhiteIsZero."""
    height, width = values.shape[0], values.shape[1] * values.itemsize * 8 // bits
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: height}
    entries[279] = values.nbytes
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries))
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(f"{order}IH", 8, len(entries)) + directory + bytes(4)
    return head + values.astype(values.dtype.newbyteorder(order)).tobytes()


LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_deflate"}),
    "tiff-packbits": ("TIFF", {"compression": "packbits"}),
    "bmp": ("BMP", {}),
    "webp": ("WEBP", {"lossless": True, "exact": True}),
}
lossless = pytest.mark.parametrize(("file_format", "options"), LOSSLESS.values(), ids=LOSSLESS)


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


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


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


class TestFit:
    @pytest.mark.parametrize(
        ("height", "width", "top", "left"),
        [(5, 9, 0, 2), (5, 8, 0, 1), (9, 5, 2, 0), (8, 5, 1, 0), (5, 5, 0, 0), (1, 6, 0, 2)],
    )
    def test_centre_square(self, height: int, width: int, top: int, left: int) -> None:
        """An odd margin leaves its extra pixel at the right or below."""
        picture, side = noise(height, width, 3), min(height, width)
        pixels = fit(Image.fromarray(picture), spec_for(side, side, crop="centre-square"))
        assert np.array_equal(pixels, picture[top : top + side, left : left + side])

    def test_without_crop_all_of_the_picture_stays(self) -> None:
        picture = np.zeros((8, 32, 3), np.uint8)
        picture[:, :4], picture[:, -4:] = 255, 255
        pixels = fit(Image.fromarray(picture), spec_for(8, 8))
        assert pixels[:, 0].min() > 200
        assert pixels[:, -1].min() > 200
        assert pixels[:, 3:5].max() < 30

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("crop", ["none", "centre-square"])
    def test_the_right_size_comes_back_unchanged(self, crop: Crop, channels: Literal[1, 3]) -> None:
        picture = noise(9, 9, channels)
        image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
        assert np.array_equal(fit(image, spec_for(9, 9, channels, crop)), picture)

    @pytest.mark.parametrize(("height", "width"), [(20, 20), (90, 70), (7, 40)], ids=["down", "up", "both"])
    @pytest.mark.parametrize("name", ["bicubic", "bilinear"])
    def test_resizes_as_pillow_does(self, name: Literal["bicubic", "bilinear"], height: int, width: int) -> None:
        picture = Image.fromarray(noise(60, 50, 3))
        wanted = picture.resize((width, height), Image.Resampling[name.upper()])
        pixels = fit(picture, InputSpec(height=height, width=width, channels=3, crop="none", interpolation=name))
        assert np.array_equal(pixels, np.asarray(wanted))

    @pytest.mark.parametrize("name", ["bicubic", "bilinear"])
    def test_resizing_is_antialiased(self, name: Literal["bicubic", "bilinear"]) -> None:
        checkers = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
        spec = InputSpec(height=8, width=8, channels=1, interpolation=name)
        assert np.abs(fit(Image.fromarray(checkers), spec) - 127.5).max() < 12

    @pytest.mark.parametrize(("height", "width"), [(496, 768), (97, 64), (28, 28)])
    @pytest.mark.parametrize("size", [28, 64])
    def test_equals_medmnists_preprocessing(self, size: int, height: int, width: int) -> None:
        """MedMNIST v2 (Yang et al. 2023): crop the centre to the short side, then Pillow's bicubic."""
        scan = noise(height, width)
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = Image.fromarray(scan[top : top + side, left : left + side])
        wanted = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
        pixels = preprocess(encode(scan, "PNG"), spec_for(size, size, 1, "centre-square")).pixels
        assert np.array_equal(pixels[..., 0], wanted)

    def test_real_scans_become_the_set_that_was_made_of_them(self, shared_data: Path) -> None:
        """The set was made of the same scans at their full height, so a small difference stays."""
        with (shared_data / "oct" / "manifest.csv").open() as lines:
            files = [row["file"] for row in csv.DictReader(lines) if row["split"] == "test"]
        published = np.load(shared_data / "octmini" / "octmini.npz")["test_images"].astype(int)
        for index in range(0, len(files), 24):
            data = (shared_data / "oct" / files[index]).read_bytes()
            pixels = preprocess(data, spec_for(28, 28, 1, "centre-square")).pixels[..., 0]
            distances = np.abs(published - pixels).mean(axis=(1, 2))
            assert distances.argmin() == index, files[index]
            assert distances[index] < 3, files[index]


@pytest.fixture
def decoded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes (width, height), upright, of the pictures that were decoded, in turn."""
    sizes: list[tuple[int, int]] = []

    def spy(image: Image.Image, spec: InputSpec) -> Pixels:
        sizes.append(image.size)
        return fit(image, spec)

    monkeypatch.setattr(models.preprocessing, "fit", spy)
    return sizes


class TestReducedScale:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("crop", ["none", "centre-square"])
    def test_close_to_the_full_decode(self, crop: Crop, channels: Literal[1, 3]) -> None:
        detail = smooth(600, 800).astype(int) + np.random.default_rng(1).normal(0, 12, (600, 800, 1))
        file = encode(detail.clip(0, 255).astype(np.uint8), "JPEG", quality=92)
        spec = spec_for(64, 64, channels, crop)
        full = Image.open(io.BytesIO(file)).convert("L" if channels == 1 else "RGB")
        full = full.crop((100, 0, 700, 600)) if crop == "centre-square" else full
        wanted = np.asarray(full.resize((64, 64), Image.Resampling.BICUBIC)).reshape(64, 64, channels)
        difference = np.abs(preprocess(file, spec).pixels.astype(int) - wanted)
        assert difference.mean() < 1.5
        assert difference.max() < 24

    def test_a_large_jpeg_is_decoded_small(self, decoded_sizes: list[tuple[int, int]]) -> None:
        result = preprocess(encode(smooth(1200, 1600), "JPEG"), spec_for(64, 64, crop="centre-square"))
        assert decoded_sizes == [(200, 150)]
        assert (result.width, result.height) == (1600, 1200)

    @pytest.mark.parametrize("side", [64, 100, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1100])
    def test_never_below_twice_the_input(self, side: int, decoded_sizes: list[tuple[int, int]]) -> None:
        file = encode(Image.new("RGB", (side + 40, side)), "JPEG")
        preprocess(file, spec_for(64, 64, crop="centre-square"))
        ((width, height),) = decoded_sizes
        assert min(width, height) >= min(side, 128)
        assert min(width, height) < 4 * 64 + 8, "a larger one could have been halved"

    @pytest.mark.parametrize("crop", ["none", "centre-square"])
    @pytest.mark.parametrize("turned", [False, True], ids=["stored upright", "stored turned"])
    @pytest.mark.parametrize(("height", "width"), [(32, 128), (128, 32), (64, 64)])
    @pytest.mark.parametrize(("file_height", "file_width"), [(256, 1024), (1024, 256), (512, 768)])
    def test_never_below_twice_an_oblong_input(
        self,
        height: int,
        width: int,
        file_height: int,
        file_width: int,
        turned: bool,
        crop: Crop,
        decoded_sizes: list[tuple[int, int]],
    ) -> None:
        """On neither axis of the part that is kept, unless the file itself has less there."""
        stored = (file_height, file_width) if turned else (file_width, file_height)
        file = encode(Image.new("RGB", stored), "JPEG", exif=orientation(6 if turned else 1))
        preprocess(file, spec_for(height, width, crop=crop))
        kept, original = decoded_sizes[0], (file_width, file_height)
        if crop == "centre-square":
            kept, original = (min(kept),) * 2, (min(original),) * 2
        assert kept[0] >= min(2 * width, original[0])
        assert kept[1] >= min(2 * height, original[1])

    @lossless
    def test_other_formats_are_decoded_whole(
        self, file_format: str, options: dict[str, Any], decoded_sizes: list[tuple[int, int]]
    ) -> None:
        preprocess(encode(noise(200, 300, 3), file_format, **options), spec_for(8, 8))
        assert decoded_sizes == [(300, 200)]


def fault_of(data: bytes, spec: InputSpec | None = None, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        preprocess(data, spec or spec_for(8, 8), **options)
    assert str(caught.value).endswith(".")
    return caught.value.fault


def valid_files() -> dict[str, bytes]:
    """A file of each format and of its usual variants."""
    colour, grey = noise(14, 20, 3), noise(14, 20)
    deep, palette = Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(colour).convert("P")
    turned, second = orientation(6), [Image.fromarray(noise(14, 20, 3, seed=9))]
    return {
        "jpeg": encode(colour, "JPEG", exif=turned),
        "jpeg-progressive": encode(colour, "JPEG", progressive=True),
        "jpeg-grey": encode(grey, "JPEG"),
        "jpeg-cmyk": encode(Image.fromarray(colour).convert("CMYK"), "JPEG"),
        "mpo": encode(colour, "MPO", save_all=True, append_images=second),
        "png": encode(colour, "PNG", exif=turned),
        "png-16": encode(deep, "PNG"),
        "png-palette": encode(palette, "PNG", transparency=bytes(range(256))),
        "png-animated": encode(colour, "PNG", save_all=True, append_images=second),
        "tiff": encode(colour, "TIFF", exif=turned),
        "tiff-16": encode(deep, "TIFF"),
        "tiff-lzw": encode(colour, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": encode(colour, "TIFF", compression="jpeg"),
        "tiff-group4": encode(Image.fromarray(grey > 127), "TIFF", compression="group4"),
        "tiff-ycbcr": encode(Image.fromarray(colour).convert("YCbCr"), "TIFF"),
        "bmp": encode(colour, "BMP"),
        "bmp-palette": encode(palette, "BMP"),
        "webp": encode(colour, "WEBP"),
        "webp-lossless": encode(noise(14, 20, 4), "WEBP", lossless=True),
        "webp-animated": encode(colour, "WEBP", save_all=True, append_images=second),
    }


VALID = valid_files()
every_file = pytest.mark.parametrize("name", VALID)
SPECS = (spec_for(8, 8), InputSpec(height=5, width=9, channels=1, interpolation="bilinear"))


def survives(data: bytes, spec: InputSpec) -> bool:
    """Whether the bytes become an input; anything else than that or an ImageError fails the test."""
    with warnings.catch_warnings(), suppress(ImageError):
        warnings.simplefilter("ignore")  # Pillow's, about metadata that it can't read
        pixels = preprocess(data, spec).pixels
        assert pixels.shape == (spec.height, spec.width, spec.channels)
        assert pixels.dtype == np.uint8
        return True
    return False


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

    @every_file
    def test_whole_files_are_fine(self, name: str) -> None:
        for spec in SPECS:
            assert survives(VALID[name], spec)

    @every_file
    def test_truncated_anywhere(self, name: str) -> None:
        data = VALID[name]
        for cut in range(0, len(data), max(len(data) // 150, 1)):
            survives(data[:cut], SPECS[cut % 2])

    @pytest.mark.parametrize("name", ["jpeg", "png", "tiff", "tiff-lzw", "bmp", "webp"])
    def test_half_a_file_is_damaged_or_unrecognised(self, name: str) -> None:
        data = VALID[name]
        assert fault_of(data[: len(data) // 2]) in {"damaged", "unrecognised"}

    @pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "webp"])
    def test_damaged_says_what_to_do(self, name: str) -> None:
        data = VALID[name]
        with pytest.raises(ImageError, match="whole file was sent") as caught:
            preprocess(data[: len(data) * 4 // 5], spec_for(8, 8))
        assert caught.value.fault == "damaged"

    @every_file
    def test_changed_anywhere(self, name: str) -> None:
        """300 files with up to four bytes changed, half of them among the first 120, where the headers are."""
        chance = random.Random(name)
        for _ in range(300):
            data = bytearray(VALID[name])
            reach = min(len(data), chance.choice([120, len(data)]))
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(reach)] = chance.choice([0, 1, 128, 255, chance.randrange(256)])
            survives(bytes(data), chance.choice(SPECS))

    @pytest.mark.parametrize(("bits", "kind"), [(8, 0), (1, 0), (8, 2), (8, 3), (8, 4), (8, 6), (16, 0), (16, 2)])
    @pytest.mark.parametrize("length", [0, 1, 2, 6, 255, 256, 257, 300])
    @pytest.mark.parametrize("chunk", [b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"gAMA"])
    def test_chunks_of_another_length(self, chunk: bytes, length: int, bits: int, kind: int) -> None:
        """Right check sums around a wrong chunk: damage that only shows when the pixels are used."""
        rows = (b"\0" + bytes(4 * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] * max(bits // 8, 1))) * 4
        colours = (b"PLTE", bytes(768))
        survives(png(4, 4, bits, kind, rows, colours, (chunk, b"\1" * length)), SPECS[length % 2])
        survives(png(4, 4, bits, kind, rows, (chunk, b"\1" * length)), SPECS[length % 2])

    @given(data=st.binary(max_size=400))
    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    def test_any_bytes(self, data: bytes) -> None:
        survives(data, SPECS[len(data) % 2])

    @given(
        start=st.sampled_from(
            [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"II*\0", b"MM\0*", b"BM", b"RIFF\0\0\0\0WEBPVP8"]
        ),
        rest=st.binary(max_size=300),
    )
    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    def test_any_bytes_after_a_signature(self, start: bytes, rest: bytes) -> None:
        survives(start + rest, SPECS[len(rest) % 2])


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
