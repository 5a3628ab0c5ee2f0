"""mixup and CutMix: the same blend for images and labels, drawn from a Beta distribution."""

import pytest
import torch
from scipy.stats import beta, kstest
from torch import Tensor

from training.data.mixup import CutMix, MixUp, OneOf, create_blend
from training.recipe import LossSpec


def mixup(alpha: float, seed: int = 0) -> MixUp:
    transform = MixUp(alpha)
    transform.set_random_state(seed)
    return transform


def batch(count: int) -> tuple[Tensor, Tensor]:
    """Random images, each of a class of its own: a target tells which images it was blended from."""
    images = torch.rand((count, 3, 6, 6), generator=torch.Generator().manual_seed(0))
    return images, torch.eye(count)


def test_images_are_blended_as_their_targets_say() -> None:
    images, targets = batch(12)
    blended, blend = mixup(1.0)(images, targets)
    torch.testing.assert_close(blend.sum(dim=1), torch.ones(12))
    assert ((blend > 0).sum(dim=1) <= 2).all()
    torch.testing.assert_close(blended, torch.einsum("nk,kchw->nchw", blend, images))


def test_each_image_draws_its_own_part() -> None:
    images, targets = batch(12)
    _, blend = mixup(1.0)(images, targets)
    assert len(set(blend.diagonal().tolist())) > 8


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_parts_are_beta_distributed(alpha: float) -> None:
    _, blend = mixup(alpha)(torch.zeros(2000, 1, 1, 1), torch.eye(2000))
    parts = blend.diagonal().numpy()  # one in 2,000 meets itself, which the test below does not feel
    assert kstest(parts, beta(alpha, alpha).cdf).pvalue > 0.001


def test_repeats_with_the_same_state_alone() -> None:
    images, targets = batch(12)
    first, again, other = (mixup(1.0, seed)(images, targets) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def cutmix(alpha: float = 1.0, seed: int = 0) -> CutMix:
    transform = CutMix(alpha)
    transform.set_random_state(seed)
    return transform


class TestCutMix:
    def patched(self, count: int, size: tuple[int, int] = (20, 30), alpha: float = 1.0) -> tuple[Tensor, Tensor]:
        """Images that hold their own number, so that each pixel tells which image it came from."""
        images = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 1, *size)
        return cutmix(alpha)(images, torch.eye(count))

    def test_target_is_the_part_of_the_pixels(self) -> None:
        blended, blend = self.patched(40)
        counted = torch.stack([(blended == image).float().mean(dim=(1, 2, 3)) for image in range(40)], dim=1)
        torch.testing.assert_close(blend, counted)
        assert len(set(blend.diagonal().tolist())) > 20

    def test_pastes_one_rectangle_with_the_proportions_of_the_image(self) -> None:
        blended, _ = self.patched(200, size=(40, 60))
        whole = 0
        for image in range(200):
            rows, columns = torch.nonzero(blended[image, 0] != image, as_tuple=True)
            if len(rows) == 0:
                continue
            height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
            assert height * width == len(rows)
            inside = rows.min() > 0 and columns.min() > 0 and rows.max() < 39 and columns.max() < 59
            if inside and height > 10:
                whole += 1
                assert width == pytest.approx(1.5 * height, abs=2.5)  # both are whole pixels
        assert whole > 10

    def test_area_before_the_edge_is_one_minus_a_beta(self) -> None:
        # Of rectangles too small to reach far beyond an edge: alpha = 50 gives parts close to a half.
        _, blend = self.patched(400, size=(64, 64), alpha=50)
        kept = blend.diagonal()
        assert float(kept.min()) > 0.3  # at most 1 - (1 - 0.3) of the area goes
        assert float(kept.median()) > 0.5  # the edge cuts something off most of them

    def test_repeats_with_the_same_state_alone(self) -> None:
        images, targets = batch(12)
        first, again, other = (cutmix(seed=seed)(images, targets)[0] for seed in (3, 3, 4))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


class TestChoice:
    @pytest.mark.parametrize(
        ("spec", "kind"),
        [({}, type(None)), ({"mixup": 0.4}, MixUp), ({"cutmix": 1.0}, CutMix), ({"mixup": 1, "cutmix": 1}, OneOf)],
    )
    def test_follows_the_recipe(self, spec: dict[str, float], kind: type) -> None:
        assert type(create_blend(LossSpec(**spec))) is kind

    def test_uses_each_of_both_about_half_the_time(self) -> None:
        blend = create_blend(LossSpec(mixup=1.0, cutmix=1.0))
        assert blend is not None
        blend.set_random_state(0)
        images, targets = batch(8)
        cut = sum(bool(torch.isin(blend(images, targets)[0], images).all()) for _ in range(100))
        assert 30 < cut < 70

    def test_of_both_has_one_random_state(self) -> None:
        blend = OneOf(MixUp(1.0), CutMix(1.0))
        blend.set_random_state(5)
        images, targets = batch(8)
        state = blend.R.get_state()
        first = [blend(images, targets)[0] for _ in range(6)]
        blend.R.set_state(state)
        assert all(torch.equal(one, blend(images, targets)[0]) for one in first)
