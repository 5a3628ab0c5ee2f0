"""mixup: the same blend for images and labels, drawn from a Beta distribution."""

import pytest
import torch
from scipy.stats import beta, kstest
from torch import Tensor

from training.mixup import MixUp


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
