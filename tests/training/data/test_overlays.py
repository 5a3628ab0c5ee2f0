"""Borders, captions, squash and gamma of batch augmentation, against interpolation, powers and counts by hand."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.training.data.augmenting import HIGH, LOW, Forced, noise_images, only
from training.data.augmentation import BatchAugmentation
from training.data.overlays import Borders, draw_borders
from training.recipe import AugmentationSpec

NEW = {"squash": 0.5, "gamma": 0.7, "borders": 0.6, "caption": 0.6}


def seeded(seed: int, spec: AugmentationSpec) -> BatchAugmentation:
    augmentation = BatchAugmentation(spec)
    augmentation.set_random_state(seed)
    return augmentation


class TestBorders:
    @pytest.mark.parametrize("shape", [(2, 1, 20, 40), (2, 3, 40, 20)])
    def test_shrink_the_image_to_the_place_between(self, shape: tuple[int, ...]) -> None:
        images = noise_images(*shape)
        height, width = shape[2:]
        rows, columns = height // 10, width // 10  # Forced stands at 0.4 of 0 to 0.25, on every side
        changed = Forced(0.4, borders=1)(images)
        inner = torch.nn.functional.interpolate(images, (height - 2 * rows, width - 2 * columns), mode="bilinear")
        expected = torch.nn.functional.pad(inner, (columns, columns, rows, rows), value=0.2)
        torch.testing.assert_close(changed, expected, atol=1e-5, rtol=0)

    def test_of_one_side_and_of_each_width_stand_where_they_are(self) -> None:
        images = noise_images(2, 1, 20, 40)
        # Left 8 of 40 pixels, right none, top 2 of 20, bottom 4: the ends of the inner place, from -1 to 1.
        ends = (torch.full((2,), value) for value in (-0.6, 1.0, -0.8, 0.6, 1.0))
        borders = Borders(*ends)
        theta = borders.inner(torch.eye(2, 3).repeat(2, 1, 1))
        grid = torch.nn.functional.affine_grid(theta, [2, 1, 20, 40], align_corners=False)
        warped = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        inner = torch.nn.functional.interpolate(images, (14, 32), mode="bilinear")
        expected = torch.nn.functional.pad(inner, (8, 0, 2, 4), value=1)
        torch.testing.assert_close(borders.paint(warped), expected, atol=1e-5, rtol=0)

    def test_go_with_flips_and_shifts_of_the_image_alone(self) -> None:
        class Mirrored(Forced):
            def sign(self, images: Tensor, random: bool) -> Tensor:
                return torch.full((len(images),), -1.0 if random else 1.0)

        images = noise_images(2, 1, 20, 40)
        both = Mirrored(0.4, borders=1, flip_horizontal=True)(images)
        torch.testing.assert_close(both, Forced(0.4, borders=1)(torch.flip(images, [3])), atol=1e-5, rtol=0)

    def test_are_drawn_as_stated(self) -> None:
        images, augmentation = torch.zeros(6000, 1, 2, 2), seeded(0, only())
        found = draw_borders(images, 0.5, augmentation.uniform)
        widths = torch.stack([1 + found.left, 1 - found.right, 1 + found.top, 1 - found.bottom], dim=1).numpy() / 2
        has = (widths > 0).any(axis=1)
        assert has.mean() == pytest.approx(0.5, abs=0.03)
        some = widths[has]
        sides = (some > 0).sum(axis=1)
        # Each of four sides by a coin; none of the four means all of them.
        expected = {1: 4 / 16, 2: 6 / 16, 3: 4 / 16, 4: 2 / 16}
        assert {n: (sides == n).mean() for n in expected} == pytest.approx(expected, abs=0.035)
        assert 0.24 < some.max() <= 0.25
        several = some[sides > 1]
        equal = [np.ptp(row[row > 0]) < 1e-6 for row in several]
        assert np.mean(equal) == pytest.approx(0.5, abs=0.03)
        level = found.level.numpy()[has]
        shares = [(level == 0).mean(), (level == 1).mean(), ((level > 0) & (level < 1)).mean()]
        assert shares == pytest.approx([1 / 3] * 3, abs=0.03)


class TestCaption:
    def test_is_black_or_white_near_an_edge_of_the_stated_part(self) -> None:
        images = torch.full((400, 3, 100, 120), 0.5)
        changed = seeded(0, only(caption=0.6))(images)
        torch.testing.assert_close(changed[:, :1].expand_as(changed), changed, atol=0, rtol=0)
        marks: NDArray[np.bool_] = ((changed[:, 0] - 0.5).abs() > 1e-4).numpy()
        has = marks.any(axis=(1, 2))
        assert has.mean() == pytest.approx(0.6, abs=0.08)
        rows: NDArray[np.bool_] = np.asarray(marks[has].any(axis=2))
        columns: NDArray[np.bool_] = np.asarray(marks[has].any(axis=1))
        first, last = rows.argmax(axis=1), 99 - rows[:, ::-1].argmax(axis=1)
        assert (last - first < 10).all()  # at most 10 % high
        upper, lower = last < 20, first >= 80
        assert (upper | lower).all()
        assert upper.mean() == pytest.approx(0.5, abs=0.12)
        span = 119 - columns[:, ::-1].argmax(axis=1) - columns.argmax(axis=1)
        assert 20 < span.min() < 50 < 90 < span.max() <= 108  # 30 to 90 % of the width
        values = [set(changed[i, 0][marks[i]].tolist()) for i in np.flatnonzero(has)]
        assert np.mean([value == {1.0} for value in values]) == pytest.approx(0.75, abs=0.1)
        assert all(value in ({0.0}, {1.0}) for value in values)

    def test_is_letters_of_five_rows_with_gaps_between(self) -> None:
        changed = Forced(0.4, caption=1)(torch.full((3, 1, 1000, 1000), 0.5))
        marks: NDArray[np.bool_] = (changed[:, 0] - 0.5).abs().numpy() > 1e-4
        tall = 0.04 + 0.4 * 0.06
        dot, top, left = 1000 * tall / 5, 1000 * (1 - 0.04 - tall), 0.4 * 1000 * (1 - 0.54)
        centres = [int(left + (column + 0.5) * dot) for column in range(math.floor(540 / dot))]
        grids = [mark[[int(top + (row + 0.5) * dot) for row in range(5)]][:, centres] for mark in marks]
        for grid in grids:
            assert not grid[:, 4::5].any()
            letters = np.delete(grid, np.s_[4::5], axis=1)
            assert 0.35 < letters.mean() < 0.65
        assert (grids[0] != grids[1]).any()


class TestSquash:
    @pytest.mark.parametrize(("place", "ratio"), [(LOW, 1.5), (0.5, 1), (HIGH, 1 / 1.5)])
    def test_changes_the_aspect_and_not_the_area(self, place: float, ratio: float) -> None:
        images = torch.zeros(1, 1, 120, 120)
        images[..., 40:80, 40:80] = 1
        shown = Forced(place, squash=0.5)(images)[0, 0]
        width, height = float(shown.sum(dim=1).max()), float(shown.sum(dim=0).max())
        assert width / height == pytest.approx(ratio, rel=0.03)
        assert width * height == pytest.approx(1600, rel=0.03)

    def test_squashes_what_is_shown_after_it_was_turned(self) -> None:
        class Turned(Forced):
            def uniform(self, images: Tensor, low: float, high: float) -> Tensor:
                drawn = 1.0 if high in (90, math.log(1.5)) else 0.5  # a quarter turn, and the largest stretch
                return torch.full((len(images), 1, 1, 1), low + drawn * (high - low))

        images = torch.zeros(1, 1, 120, 120)
        images[..., 40:80, 40:80] = 1
        turned = Turned(0, squash=0.5, rotation=90)(images)[0, 0]
        assert float(turned.sum(dim=1).max()) < float(turned.sum(dim=0).max())


class TestGamma:
    @pytest.mark.parametrize(("place", "exponent"), [(LOW, 1 / 1.7), (0.5, 1.0), (HIGH, 1.7)])
    def test_is_a_power(self, place: float, exponent: float) -> None:
        images = noise_images(2, 3, 12, 12)
        expected = images.numpy() ** exponent
        np.testing.assert_allclose(Forced(place, gamma=0.7)(images).numpy(), expected, atol=1e-4)


class TestRandomness:
    def test_draw_nothing_while_off(self) -> None:
        """So that a run of an earlier version goes on with the numbers that it would have drawn."""
        augmentation = seeded(3, only())
        augmentation(noise_images(5, 1, 8, 8))
        expected = np.random.RandomState(3)
        expected.uniform(size=6 * 5)  # angle, zoom, two mirrors, two shifts of each image
        assert augmentation.R.uniform() == expected.uniform()

    @pytest.mark.parametrize("part", NEW)
    def test_of_each_image_are_its_own(self, part: str) -> None:
        images = noise_images(1, 3, 32, 32).repeat(40, 1, 1, 1)
        changed = seeded(0, only(**{part: NEW[part]}))(images)
        assert len({tuple(image.flatten().tolist()) for image in changed}) > 15

    def test_repeat_with_the_same_state_alone(self) -> None:
        images, spec = noise_images(8, 3, 24, 24), only(**NEW)
        first, again, other = seeded(7, spec), seeded(7, spec), seeded(8, spec)
        torch.manual_seed(0)
        results = [first(images), first(images)]
        torch.manual_seed(1)
        torch.testing.assert_close([again(images), again(images)], results, atol=0, rtol=0)
        assert not torch.equal(results[0], results[1])
        assert not torch.equal(results[0], other(images))

    def test_go_on_from_a_saved_state(self) -> None:
        images, spec = noise_images(8, 3, 24, 24), only(**NEW)
        first, later = seeded(7, spec), BatchAugmentation(spec)
        first(images)
        state = first.R.get_state()
        expected = first(images)
        later.R.set_state(state)
        assert torch.equal(later(images), expected)

    def test_values_stay_in_range_and_the_input_as_it_was(self) -> None:
        images = (noise_images(16, 3, 24, 20) > 0.5).float()
        before = images.clone()
        changed = seeded(0, AugmentationSpec(**NEW))(images)
        assert changed.shape == images.shape
        assert changed.dtype == torch.float32
        assert 0 <= changed.min() < changed.max() <= 1
        assert torch.equal(images, before)

    def test_stay_on_the_images_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Torch refuses an operation that mixes this device with the CPU. It has no generator for this one."""
        images = torch.empty(4, 3, 24, 24, device="meta")
        augmentation = seeded(0, only(**NEW, noise=0.1, erasing=0.2, pad_crop=2))
        monkeypatch.setattr(augmentation, "generator", lambda _: None)
        augmentation.size = 12
        changed = augmentation(images)
        assert changed.device.type == "meta"
        assert changed.shape == (4, 3, 12, 12)
