"""Batch augmentation against torch.flip, torch.rot90, SciPy's rotation and arithmetic by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, rotate
from torch import Tensor

from tests.training.data.augmenting import HIGH, LOW, MIDDLE, Forced, noise_images, only
from training.data.augmentation import BatchAugmentation
from training.recipe import AugmentationSpec

EVERYTHING: dict[str, Any] = {
    "flip_horizontal": True,
    "flip_vertical": True,
    "rotation": 180,
    "scale": 0.9,
    "translation": 0.9,
    "brightness": 0.9,
    "contrast": 0.9,
    "saturation": 0.9,
    "noise": 0.9,
    "erasing": 0.5,
}


def seeded(seed: int, spec: AugmentationSpec) -> BatchAugmentation:
    augmentation = BatchAugmentation(spec)
    augmentation.set_random_state(seed)
    return augmentation


class TestGeometry:
    @pytest.mark.parametrize("shape", [(4, 1, 28, 28), (3, 3, 20, 33), (2, 3, 31, 17)])
    @pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
    def test_is_the_identity_when_everything_is_off(self, shape: tuple[int, ...], padding: str) -> None:
        images = noise_images(*shape)
        torch.testing.assert_close(seeded(0, only(padding=padding))(images), images, atol=1e-5, rtol=0)

    @pytest.mark.parametrize(("part", "axis"), [("flip_horizontal", 3), ("flip_vertical", 2)])
    def test_flips(self, part: str, axis: int) -> None:
        images = noise_images(2, 3, 20, 33)
        flipped, same = Forced(LOW, **{part: True})(images), Forced(HIGH, **{part: True})(images)
        torch.testing.assert_close(flipped, torch.flip(images, [axis]), atol=1e-5, rtol=0)
        torch.testing.assert_close(same, images, atol=1e-5, rtol=0)

    def test_flips_about_half_of_the_images(self) -> None:
        images = noise_images(1, 1, 8, 8).repeat(400, 1, 1, 1)
        changed = (seeded(0, only(flip_horizontal=True))(images) - images).abs().amax(dim=(1, 2, 3)) > 0.01
        assert 150 < changed.sum() < 250

    def test_quarter_turns(self) -> None:
        images = noise_images(2, 3, 28, 28)
        turns = [Forced(place, rotation=90)(images) for place in (LOW, HIGH)]
        expected = [torch.rot90(images, k, dims=(2, 3)) for k in (1, -1)]
        if (turns[0] - expected[0]).abs().max() > 0.1:  # either direction is right, if the other end is its opposite
            expected.reverse()
        torch.testing.assert_close(turns, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 20, 33)])
    def test_half_turn(self, shape: tuple[int, ...]) -> None:
        images = noise_images(*shape)
        turned = Forced(HIGH, rotation=180)(images)
        torch.testing.assert_close(turned, torch.flip(images, [2, 3]), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("shape", [(40, 40), (32, 56), (56, 32)])
    def test_rotation_of_oblong_images_is_scipys(self, shape: tuple[int, int]) -> None:
        picture = gaussian_filter(np.random.default_rng(0).random(shape), 1.5)
        ours = Forced(HIGH, rotation=30, padding="border")(torch.from_numpy(picture).float()[None, None])[0, 0]
        theirs = [rotate(picture, angle, reshape=False, order=1, mode="nearest") for angle in (30, -30)]
        inside = (slice(8, -8), slice(8, -8))
        differences = [float(np.abs(ours.numpy() - other)[inside].max()) for other in theirs]
        assert min(differences) < 1e-3
        assert max(differences) > 0.05

    @pytest.mark.parametrize("place", [LOW, HIGH])
    def test_scale_changes_the_field_of_view_by_no_more_than_stated(self, place: float) -> None:
        images = torch.zeros(1, 1, 80, 80)
        images[..., 30:50, 30:50] = 1
        side = float(Forced(place, scale=0.5)(images).sum().sqrt())
        assert 0.95 * 20 / 1.5 <= side <= 1.05 * 20 / 0.5
        assert abs(side - 20) > 5

    def test_shift_is_a_fraction_of_the_size(self) -> None:
        images = noise_images(2, 1, 20, 40)
        shifted = [Forced(place, translation=0.25, padding="zeros")(images) for place in (LOW, HIGH)]
        shifted.sort(key=lambda moved: float(moved[..., :5, :10].sum()))  # first the one moved down and right
        right, left = shifted
        torch.testing.assert_close(right[..., 5:, 10:], images[..., :-5, :-10], atol=1e-5, rtol=0)
        torch.testing.assert_close(left[..., :-5, :-10], images[..., 5:, 10:], atol=1e-5, rtol=0)

    def test_padding_fills_pixels_beyond_the_edge(self) -> None:
        images = noise_images(1, 1, 20, 20)

        def moved(place: float, padding: str) -> Tensor:
            return Forced(place, translation=0.25, padding=padding)(images)

        # The end of the range that moves up and left, which leaves the lower right corner empty.
        place = min((LOW, HIGH), key=lambda end: float(moved(end, "zeros")[..., 15:, 15:].abs().max()))
        filled = {padding: moved(place, padding) for padding in ("zeros", "border", "reflection")}
        assert filled["zeros"][..., 15:, 15:].abs().max() < 1e-5
        torch.testing.assert_close(
            filled["border"][..., 15:, :15], images[..., 19:, 5:].expand(-1, -1, 5, -1), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            filled["reflection"][..., 15:, :15], torch.flip(images[..., 15:, 5:], [2]), atol=1e-5, rtol=0
        )


class TestColour:
    @pytest.mark.parametrize(("place", "factor"), [(LOW, 0.8), (MIDDLE, 1.0), (HIGH, 1.2)])
    def test_brightness_multiplies(self, place: float, factor: float) -> None:
        images = noise_images(3, 3, 12, 12) * 0.8
        torch.testing.assert_close(Forced(place, brightness=0.2)(images), images * factor, atol=1e-5, rtol=0)

    @pytest.mark.parametrize(("place", "factor"), [(LOW, 0.5), (HIGH, 1.5)])
    def test_contrast_stretches_about_each_images_mean(self, place: float, factor: float) -> None:
        images = 0.4 + 0.2 * noise_images(3, 3, 12, 12) + torch.tensor([0.0, 0.1, 0.2])[:, None, None, None]
        changed = Forced(place, contrast=0.5)(images)
        torch.testing.assert_close(changed.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-5, rtol=0)
        ratio = changed.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
        torch.testing.assert_close(ratio, torch.full((3,), factor), atol=1e-3, rtol=0)

    @pytest.mark.parametrize(("place", "factor"), [(LOW, 0.5), (HIGH, 1.5)])
    def test_saturation_stretches_the_distance_of_the_channels(self, place: float, factor: float) -> None:
        images = 0.4 + 0.2 * noise_images(2, 3, 12, 12)
        changed = Forced(place, saturation=0.5)(images)
        torch.testing.assert_close(
            changed[:, 0] - changed[:, 1], (images[:, 0] - images[:, 1]) * factor, atol=1e-5, rtol=0
        )

    @pytest.mark.parametrize("place", [LOW, HIGH])
    def test_saturation_leaves_grey_images_alone(self, place: float) -> None:
        grey = noise_images(2, 1, 12, 12)
        torch.testing.assert_close(Forced(place, saturation=0.9)(grey), grey, atol=1e-5, rtol=0)
        as_colour = grey.expand(-1, 3, -1, -1)
        torch.testing.assert_close(Forced(place, saturation=0.9)(as_colour), as_colour, atol=1e-5, rtol=0)


class TestNoise:
    def test_has_the_stated_deviation(self) -> None:
        images = torch.full((4, 3, 64, 64), 0.5)
        difference = Forced(HIGH, noise=0.1)(images) - 0.5
        assert difference.mean().abs() < 0.003
        torch.testing.assert_close(difference.std(dim=(1, 2, 3)), torch.full((4,), 0.1), rtol=0.04, atol=0)
        assert difference[:, 0].sub(difference[:, 1]).abs().mean() > 0.05  # each channel has its own
        assert difference[0].sub(difference[1]).abs().mean() > 0.05

    def test_differs_in_strength_from_image_to_image(self) -> None:
        images = torch.full((64, 1, 32, 32), 0.5)
        deviations = (seeded(0, only(noise=0.1))(images) - 0.5).std(dim=(1, 2, 3))
        assert deviations.max() < 0.11
        assert deviations.min() < 0.02
        assert deviations.mean() == pytest.approx(0.05, abs=0.012)


class TestErasing:
    @pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 40)])
    def test_sets_the_stated_area_to_the_mean(self, height: int, width: int) -> None:
        images = noise_images(2, 3, height, width)
        erased = Forced(0.51, erasing=0.5)(images)
        changed = (erased - images).abs().amax(dim=1) > 1e-5
        rows, columns = changed[0].any(dim=1).nonzero().flatten(), changed[0].any(dim=0).nonzero().flatten()
        assert (len(rows), len(columns)) == (height // 2, width // 2)
        assert changed[0].sum() == height * width // 4
        patch = erased[0][:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        expected = images[0].mean(dim=(1, 2))[:, None, None].expand_as(patch)
        torch.testing.assert_close(patch, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(erased[0][:, ~changed[0]], images[0][:, ~changed[0]], atol=1e-5, rtol=0)

    def test_moves_about(self) -> None:
        images = noise_images(1, 1, 28, 28).repeat(32, 1, 1, 1)
        changed = ((seeded(0, only(erasing=0.25))(images) - images).abs() > 1e-5).any(dim=1)
        assert (changed.sum(dim=(1, 2)) <= 7 * 7 + 1).all()
        assert changed.any(dim=0).float().mean() > 0.6


class TestRandomness:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
    def test_values_stay_in_range(self, channels: int, padding: str) -> None:
        images = (noise_images(16, channels, 24, 24) > 0.5).float()
        changed = seeded(0, AugmentationSpec(**EVERYTHING, padding=padding))(images)
        assert changed.shape == images.shape
        assert changed.dtype == torch.float32
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert (changed - images).abs().mean() > 0.1

    def test_repeats_with_the_same_state_alone(self) -> None:
        images = noise_images(8, 3, 24, 24)
        spec = AugmentationSpec(**EVERYTHING)
        first, again, other = seeded(7, spec), seeded(7, spec), seeded(8, spec)
        torch.manual_seed(0)
        results = [first(images), first(images)]
        torch.manual_seed(1)  # the state is its own, not torch's
        repeated = [again(images), again(images)]
        torch.testing.assert_close(results, repeated, atol=0, rtol=0)
        assert not torch.equal(results[0], results[1])
        assert not torch.equal(results[0], other(images))

    @pytest.mark.parametrize(
        "parts",
        [{name: value} for name, value in EVERYTHING.items() if not name.startswith("flip")],
        ids=lambda parts: next(iter(parts)),
    )
    def test_each_image_draws_its_own(self, parts: dict[str, Any]) -> None:
        images = noise_images(1, 3, 16, 16).repeat(6, 1, 1, 1)
        changed = seeded(0, only(**parts))(images)
        distances = torch.cdist(changed.flatten(1), changed.flatten(1)) + 10 * torch.eye(6)
        assert distances.min() > 0.01

    def test_leaves_its_input_alone(self) -> None:
        images = noise_images(4, 3, 16, 16)
        before = images.clone()
        seeded(0, AugmentationSpec(**EVERYTHING))(images)
        assert torch.equal(images, before)
