"""Windows and random resized crops of batch augmentation, against the same crops by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.data.augmenting import HIGH, LOW, Forced, noise_images, only
from training.data.augmentation import BatchAugmentation
from training.recipe import AugmentationSpec


class TestWindow:
    def test_is_a_window_of_the_image_with_black_round_it(self) -> None:
        images = noise_images(64, 3, 6, 6) + 0.1
        augmentation = BatchAugmentation(only(pad_crop=2))
        augmentation.set_random_state(0)
        padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
        corners = set()
        for before, after in zip(padded, augmentation.window(images).numpy(), strict=True):
            found = [
                (top, left)
                for top in range(5)
                for left in range(5)
                if np.array_equal(before[:, top : top + 6, left : left + 6], after)
            ]
            assert len(found) == 1
            corners.add(found[0])
        assert len(corners) > 15
        assert {top for top, _ in corners} == {left for _, left in corners} == set(range(5))

    def test_of_no_margin_is_the_image(self) -> None:
        images = noise_images(2, 3, 6, 6)
        assert BatchAugmentation(only()).window(images) is images


class TestRandomResizedCrop:
    def test_shows_the_stated_parts(self) -> None:
        augmentation = BatchAugmentation(only(random_resized_crop=0.2))
        augmentation.set_random_state(0)
        width, height, right, down = augmentation.crop(torch.zeros(4000, 3, 4, 4))
        area, ratio = width * height, width / height
        assert 0.15 < area.min() < 0.22
        assert 0.9 < area.max() <= 1
        assert (ratio > 0.749).all()
        assert (ratio < 1.334).all()
        assert ((right.abs() + width) <= 1 + 1e-6).all()
        assert ((down.abs() + height) <= 1 + 1e-6).all()
        inside = (width < 1) & (height < 1)
        assert area[inside].mean() == pytest.approx(0.57, abs=0.05)  # areas are drawn evenly, from .2 to about .94

    @pytest.mark.parametrize(("place", "corner"), [(LOW, slice(0, 8)), (HIGH, slice(8, 16))])
    def test_is_the_crop_resized(self, place: float, corner: slice) -> None:
        # The lowest numbers give a quarter of the area; its stretch is overridden to a square for a known window.
        class Square(Forced):
            def uniform(self, images: Tensor, low: float, high: float) -> Tensor:
                if (low, high) == (0.25, 1):
                    return torch.full((len(images), 1, 1, 1), 0.25)
                return torch.zeros(len(images), 1, 1, 1) if high < 0.5 else super().uniform(images, low, high)

        images = noise_images(1, 1, 16, 16)
        shown = Square(place, random_resized_crop=0.25)
        shown.size = 8
        torch.testing.assert_close(shown(images), images[..., corner, corner], atol=1e-5, rtol=0)

    def test_size_is_the_networks(self) -> None:
        augmentation = BatchAugmentation(AugmentationSpec(random_resized_crop=0.1, decoded_size=20, erasing=0.2), 12)
        augmentation.set_random_state(0)
        assert augmentation(noise_images(3, 3, 20, 20)).shape == (3, 3, 12, 12)
