"""DTD's published splits, chosen by number."""

from pathlib import Path

import pytest

from tests.training import released_trees as trees
from training.datasets.dtd import read_dtd
from training.errors import TrainingError
from training.recipe import DtdSpec


@pytest.mark.parametrize("number", [1, 10])
def test_splits_are_the_published_lists(tmp_path: Path, number: int) -> None:
    root = trees.dtd(tmp_path / "dtd", number)
    data = read_dtd(tmp_path, DtdSpec(split=number))
    for split in ("train", "val", "test"):
        listed = (root / "labels" / f"{split}{number}.txt").read_text().split()
        assert [item.id for item in data.splits[split]] == listed
        assert all(data.labels[int(str(item.label))] == item.id.split("/")[0] for item in data.splits[split])
    assert f"split {number} of 10" in data.split_rule


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"train2\.txt is not there"):
        read_dtd(trees.dtd(tmp_path), DtdSpec(split=2))


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    (trees.dtd(tmp_path) / "images/banded/banded_0005.jpg").unlink()
    with pytest.raises(TrainingError, match=r"lacks 1 image\(s\) of split 1, first 'banded/banded_0005\.jpg'"):
        read_dtd(tmp_path, DtdSpec())
