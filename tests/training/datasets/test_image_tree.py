"""ImageNet's tree: published validation images are tested, validation is cut from training."""

import shutil
from pathlib import Path

import pytest

from tests.training import released_trees as trees
from training.datasets.image_tree import read_image_tree
from training.errors import TrainingError
from training.recipe import FolderSpec

SPEC = FolderSpec(validation=0.25)


def test_splits(tmp_path: Path) -> None:
    data = read_image_tree("imagenet", trees.imagenet(tmp_path), SPEC)
    assert data.labels == ["n01440764", "n01443537"]
    assert {item.id.split("/")[0] for item in data.splits["test"]} == {"val"}
    assert {item.id.split("/")[0] for split in ("train", "val") for item in data.splits[split]} == {"train"}
    assert data.counts() == {
        "train": dict.fromkeys(data.labels, 9),
        "val": dict.fromkeys(data.labels, 3),
        "test": dict.fromkeys(data.labels, 12),
    }
    assert all(item.id.split("/")[1] == data.labels[int(str(item.label))] for item in data.splits["train"])


def test_a_changed_file_changes_the_digest(tmp_path: Path) -> None:
    before = read_image_tree("imagenet", trees.imagenet(tmp_path), SPEC).md5
    with (tmp_path / "train/n01440764/n01440764_3.JPEG").open("ab") as file:
        file.write(b" ")
    assert read_image_tree("imagenet", tmp_path, SPEC).md5 != before


def test_classes_that_differ_are_named(tmp_path: Path) -> None:
    trees.imagenet(tmp_path)
    (tmp_path / "val/n01443537").rename(tmp_path / "val/n01484850")
    with pytest.raises(TrainingError, match="differ in n01443537, n01484850"):
        read_image_tree("stylized-imagenet", tmp_path, SPEC)


def test_validation_images_that_are_not_sorted_into_classes(tmp_path: Path) -> None:
    trees.imagenet(tmp_path)
    shutil.rmtree(tmp_path / "val")
    trees.save(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG", 0, 0)
    with pytest.raises(TrainingError, match="sort a flat val/ into its classes"):
        read_image_tree("imagenet", tmp_path, SPEC)
