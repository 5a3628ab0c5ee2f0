"""MedMNIST-C's corruptions against other implementations and their definitions."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from training.style.corruptions import FUNDUS, OCT, defocus_blur, motion_blur, speckle_noise


def picture(mode: str = "L", size: int = 64) -> Image.Image:
    base = np.random.default_rng(0).integers(30, 200, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(base).resize((size, size), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("family", "name"), [(f, n) for f, names in (("oct", OCT), ("fundus", FUNDUS)) for n in names])
def test_each_changes_the_picture_more_with_severity(family: str, name: str, mode: str) -> None:
    corrupt = {"oct": OCT, "fundus": FUNDUS}[family][name]
    image = picture(mode)
    differences = []
    for severity in range(1, 6):
        changed = corrupt(image, severity, np.random.default_rng(severity))
        assert (changed.size, changed.mode) == (image.size, mode)
        differences.append(np.abs(np.asarray(changed, float) - np.asarray(image, float)).mean())
    assert differences[0] > 0
    assert differences[-1] > differences[0]


def test_noise_has_the_published_strength() -> None:
    """Speckle: each pixel times 1 plus noise of deviation c; flat grey does not clip."""
    flat = Image.fromarray(np.full((200, 200), 100, np.uint8))
    changed = np.asarray(speckle_noise(0.1, 0.2)(flat, 2, np.random.default_rng(0)), float)
    assert changed.std() == pytest.approx(20, rel=0.03)
    assert changed.mean() == pytest.approx(99.5, abs=0.5)  # rounded down, as the published code does


def test_contrast_and_compression_are_pillow_s() -> None:
    image = picture()
    assert OCT["contrast down"](image, 3, np.random.default_rng(0)) == ImageEnhance.Contrast(image).enhance(0.3)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=10)
    found = OCT["JPEG compression"](image, 3, np.random.default_rng(0))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(Image.open(stream)))


def test_defocus_is_a_disk() -> None:
    """A single white pixel becomes a disk: about pi r^2 pixels share its light."""
    dot = np.zeros((41, 41), np.uint8)
    dot[20, 20] = 255
    spread = np.asarray(defocus_blur((3, 0.1))(Image.fromarray(dot), 1, np.random.default_rng(0)), float)
    y, x = np.mgrid[:41, :41] - 20
    inside = x**2 + y**2 <= 9
    assert (spread[inside] > 0).all()
    assert (spread[~inside] <= 1).all()


def test_motion_runs_one_way_and_keeps_the_light() -> None:
    flat = Image.fromarray(np.full((40, 40), 120, np.uint8))
    blurred = np.asarray(motion_blur((8, 5))(flat, 1, np.random.default_rng(0)), float)
    assert np.abs(blurred - 120).max() <= 1
    line = np.zeros((61, 61), np.uint8)
    line[30, 30] = 255
    spread = np.asarray(motion_blur((8, 5))(Image.fromarray(line), 1, np.random.default_rng(3)), float)
    rows, columns = np.nonzero(spread)
    assert len(rows) > 5
    assert columns.min() == 30 or columns.max() == 30, "the kernel is one-sided"
