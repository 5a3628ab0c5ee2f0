"""Cropping, resizing, and the reduced scale at which large JPEGs are decoded."""

import csv
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

import models.preprocessing
from models.card import InputSpec
from models.preprocessing import Box, fit, preprocess, region
from tests.models.preprocessing.image_files import (
    Crop,
    encode,
    lossless,
    noise,
    orientation,
    smooth,
    spec_for,
)


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

    def spy(image: Image.Image, spec: InputSpec) -> Box:
        sizes.append(image.size)
        return region(image, spec)

    monkeypatch.setattr(models.preprocessing, "region", spy)
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
