"""Each change of a known picture, against NumPy and SciPy."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter, rotate

from training.perturbation.changes import CHANGES, MEANINGS

Pixels = NDArray[np.uint8]


def noise(height: int, width: int, *channels: int, smooth: float = 0) -> Pixels:
    values = np.random.default_rng(0).random((height, width, *channels))
    if smooth:
        values = gaussian_filter(values, (smooth, smooth, *(0 for _ in channels)))
        values = (values - values.min()) / np.ptp(values)
    return (values * 255).astype(np.uint8)


def changed(name: str, pixels: Pixels, seed: int = 0) -> NDArray[np.int64]:
    result = CHANGES[name](Image.fromarray(pixels), np.random.default_rng(seed))
    assert result.mode == ("L" if pixels.ndim == 2 else "RGB")
    return np.asarray(result).astype(np.int64)


def test_every_change_has_a_meaning_in_words() -> None:
    assert CHANGES.keys() == MEANINGS.keys()


@pytest.mark.parametrize("channels", [(), (3,)])
class TestFraming:
    def test_letterbox_is_a_black_square_round_the_picture(self, channels: tuple[int, ...]) -> None:
        pixels = noise(60, 100, *channels)
        expected = np.zeros((150, 150, *channels), np.int64)
        expected[45:105, 25:125] = pixels
        np.testing.assert_array_equal(changed("letterbox", pixels), expected)

    def test_white_border_is_a_hundred_pixels(self, channels: tuple[int, ...]) -> None:
        pixels = noise(6, 10, *channels)
        around = [(100, 100), (100, 100), *((0, 0) for _ in channels)]
        expected = np.pad(pixels.astype(np.int64), around, constant_values=255)
        np.testing.assert_array_equal(changed("white border", pixels), expected)

    def test_squash_makes_the_picture_lower_alone(self, channels: tuple[int, ...]) -> None:
        stripes = np.repeat(noise(1, 40, *channels), 100, axis=0)
        np.testing.assert_array_equal(changed("squash", stripes), stripes[:67])

    def test_caption_is_white_on_black_in_the_lower_left_corner(self, channels: tuple[int, ...]) -> None:
        pixels = np.full((400, 600, *channels), 128, np.uint8)
        result = changed("caption", pixels)
        marks = (result != 128).reshape(400, 600, -1).any(axis=2)
        rows, columns = marks.any(axis=1).nonzero()[0], marks.any(axis=0).nonzero()[0]
        assert 0.03 * 400 < np.ptp(rows) < 0.08 * 400
        assert rows.min() > 0.9 * 400
        assert rows.max() < 399
        assert 0 < columns.min() < 20
        assert np.ptp(columns) > 150
        assert (result == 255).any()
        assert (result == 0).any()


@pytest.mark.parametrize("channels", [(), (3,)])
class TestGeometry:
    def test_upside_down(self, channels: tuple[int, ...]) -> None:
        pixels = noise(6, 10, *channels)
        np.testing.assert_array_equal(changed("upside down", pixels), pixels[::-1])

    def test_zoom_is_the_middle(self, channels: tuple[int, ...]) -> None:
        pixels = noise(167, 334, *channels)
        np.testing.assert_array_equal(changed("zoom", pixels), pixels[33:133, 67:267])

    def test_shift_is_a_fifth_to_the_right(self, channels: tuple[int, ...]) -> None:
        pixels = noise(8, 40, *channels)
        expected = np.zeros_like(pixels)
        expected[:, 8:] = pixels[:, :-8]
        np.testing.assert_array_equal(changed("shift", pixels), expected)

    def test_rotation_is_scipys(self, channels: tuple[int, ...]) -> None:
        pixels = noise(60, 90, *channels, smooth=3)
        result = changed("rotation", pixels)
        inside = (slice(18, -18), slice(20, -20))
        theirs = [
            rotate(pixels.astype(float), angle, reshape=False, order=3, mode="nearest")[inside] for angle in (20, -20)
        ]
        differences = sorted(np.abs(result[inside] - other).max() for other in theirs)
        assert differences[0] < 4
        assert differences[1] > 30
        assert result.shape == pixels.shape
        assert not result[0, 0].any()


@pytest.mark.parametrize("channels", [(), (3,)])
class TestLightAndQuality:
    @pytest.mark.parametrize(("name", "factor"), [("dark", 0.5), ("bright", 1.7)])
    def test_brightness_is_a_factor(self, name: str, factor: float, channels: tuple[int, ...]) -> None:
        pixels = noise(20, 30, *channels)
        np.testing.assert_allclose(changed(name, pixels), np.clip(pixels * factor, 0, 255), atol=1)

    def test_inverted(self, channels: tuple[int, ...]) -> None:
        pixels = noise(20, 30, *channels)
        np.testing.assert_array_equal(changed("inverted", pixels), 255 - pixels.astype(np.int64))

    def test_blur_is_a_gaussian_of_one_percent_of_the_shorter_side(self, channels: tuple[int, ...]) -> None:
        pixels = noise(300, 400, *channels)
        expected = gaussian_filter(pixels.astype(float), (3, 3, *(0 for _ in channels)))
        result = changed("blur", pixels)
        inside = (slice(20, -20), slice(20, -20))
        assert np.corrcoef(result[inside].ravel(), expected[inside].ravel())[0, 1] > 0.98
        assert result[inside].std() == pytest.approx(expected[inside].std(), rel=0.05)

    def test_noise_has_the_stated_deviation(self, channels: tuple[int, ...]) -> None:
        pixels = np.full((100, 100, *channels), 128, np.uint8)
        first, again, other = (changed("noise", pixels, seed) for seed in (0, 0, 1))
        assert (first - 128).std() == pytest.approx(25.5, rel=0.04)
        assert (first - 128).mean() == pytest.approx(0, abs=1)
        np.testing.assert_array_equal(first, again)
        assert (first != other).mean() > 0.9


def test_jpeg_has_quality_15() -> None:
    """Each block's first coefficient is a multiple of its step: 16 in annex K of the standard, times 50 / 15."""
    pixels = np.full((64, 64), 120, np.uint8) + noise(64, 64, smooth=2) // 4
    blocks = changed("JPEG", pixels).reshape(8, 8, 8, 8).swapaxes(1, 2).reshape(-1, 8, 8) - 128.0
    first = np.array([dctn(block, norm="ortho")[0, 0] for block in blocks])
    step = 53
    assert np.abs(first - step * np.round(first / step)).max() < 4
    assert len(np.unique(np.round(first / step))) > 1
