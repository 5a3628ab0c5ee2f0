"""Folds: every image held out once, patients whole, classes even, and an official test split left alone."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_manifest, write_medmnist, write_tree
from training.datasets import DataSet, read_dataset
from training.errors import TrainingError

COUNTS = {"train": (40, 20, 20, 20, 20), "val": (10, 10, 10, 10, 10), "test": (5, 5, 5, 5, 5)}


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_medmnist(tmp_path_factory.mktemp("data") / "official.npz", medmnist_arrays(COUNTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of patients with two images each, without a split."""
    root = tmp_path_factory.mktemp("data") / "scans"
    files = write_tree(root, {"healthy": 60, "ill": 30})
    write_manifest(root, [{"file": file, "patient": f"p{index // 2}"} for index, file in enumerate(files)])
    return root


def folds(data: Path, count: int, **changes: object) -> list[DataSet]:
    recipe = {"dataset": "folder", "task": "multi-class"} if data.is_dir() else {}
    return [
        read_dataset(tiny_recipe(data, folds={"count": count, "index": index, **changes}, **recipe))
        for index in range(count)
    ]


def ids(data: DataSet, split: str) -> set[str]:
    return {item.id for item in data.splits[split]}


def test_hold_out_every_image_once_and_leave_an_official_test_split_alone(official: Path) -> None:
    held = [ids(data, "test") for data in folds(official, 5)]
    assert sum(map(len, held)) == len(set.union(*held)) == 170
    assert not any(name.startswith("test-") for name in set.union(*held))
    for data in folds(official, 5):
        parts = [ids(data, split) for split in ("train", "val", "test")]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 170


def test_have_the_classes_as_often_as_all_images(official: Path) -> None:
    for data in folds(official, 5):
        np.testing.assert_array_equal(list(data.counts()["test"].values()), [10, 6, 6, 6, 6])
        assert "fold" in data.name
        assert "of 5 of train and validation held out" in data.split_rule


def test_use_everything_where_the_split_was_random_and_keep_patients_whole(folder: Path) -> None:
    held = [ids(data, "test") for data in folds(folder, 3)]
    assert len(set.union(*held)) == 90
    for data in folds(folder, 3):  # DataSet itself refuses a patient in two splits
        assert len({item.group for item in data.splits["test"]}) * 2 == len(data.splits["test"])
        assert "of 3 of all images held out, stratified by class and grouped by patient" in data.split_rule
        assert 0.25 < data.prior("test")[1] < 0.42


def test_of_a_manifests_own_split_leave_its_test_images_alone(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    files = write_tree(root, {"healthy": 40, "ill": 40})
    splits = ["test" if index % 5 == 0 else "train" if index % 5 < 4 else "val" for index in range(80)]
    write_manifest(root, [{"file": file, "split": split} for file, split in zip(files, splits, strict=True)])
    tests = {file for file, split in zip(files, splits, strict=True) if split == "test"}
    assert set.union(*(ids(data, "test") for data in folds(root, 4))) == set(files) - tests


def test_are_the_same_for_every_seed_of_the_recipe_and_other_for_another_of_their_own(official: Path) -> None:
    def held(**changes: object) -> set[str]:
        return ids(read_dataset(tiny_recipe(official, **{"folds": {"count": 5}} | changes)), "test")

    assert held(seed=0) == held(seed=1)
    assert held() != held(folds={"count": 5, "seed": 1})


def test_too_many_are_refused(official: Path) -> None:
    with pytest.raises(TrainingError, match=r"30 in the smallest class, are too few for 31 folds"):
        folds(official, 31)
