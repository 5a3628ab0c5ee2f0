"""Splits that are made here: what of several labels they keep in proportion."""

from pathlib import Path

import numpy as np
import pytest

from training.datasets import Item
from training.datasets.splits import at_random, cut_validation, strata
from training.recipe import FolderSpec


def several(*labels: tuple[int, ...]) -> list[Item]:
    """Images of patients with one image each."""
    return [Item(Path(f"{n}.png"), label, f"p{n}", f"i{n}") for n, label in enumerate(labels)]


def rare(items: list[Item]) -> int:
    return sum(item.label[1] for item in items if isinstance(item.label, tuple))


# Everyone has the first label; 10 of 100 have the second beside it, which a split at random could miss.
MOSTLY_ONE = several(*[(1, int(n % 10 == 3)) for n in range(100)])


def test_the_stratum_of_an_image_is_the_rarest_of_its_labels() -> None:
    # The labels are on 4, 1 and 2 images; an image without a label is in a stratum of its own.
    items = several((1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 0, 0), (0, 0, 0))
    np.testing.assert_array_equal(strata(items), [0, 2, 1, 0, 3])


@pytest.mark.parametrize("seed", range(5))
def test_each_split_has_its_part_of_a_rare_label(seed: int) -> None:
    splits = at_random(MOSTLY_ONE, FolderSpec(test=0.2, validation=0.2, split_seed=seed))
    assert {name: rare(items) for name, items in splits.items()} == {"train": 6, "val": 2, "test": 2}


@pytest.mark.parametrize("seed", range(5))
def test_a_validation_split_has_its_part_of_a_rare_label(seed: int) -> None:
    train, val = cut_validation(MOSTLY_ONE, FolderSpec(validation=0.2, split_seed=seed))
    assert (rare(train), rare(val)) == (8, 2)
