"""LAG in both of its layouts, with and without attention maps."""

import shutil
from pathlib import Path

import pytest

from tests.training import released_trees as trees
from training.datasets import DataSet
from training.datasets.lag import read_lag
from training.errors import TrainingError
from training.recipe import FolderSpec

SPEC = FolderSpec(validation=0.25, test=0.25)


def flat(data: DataSet) -> dict[str, tuple[object, Path | None]]:
    return {item.id: (item.label, item.attention) for items in data.splits.values() for item in items}


def test_both_layouts_are_the_same_data(tmp_path: Path) -> None:
    plain = trees.lag(tmp_path / "plain")
    shutil.copytree(plain, tmp_path / "archive" / "LAG_database_part_1")
    first, second = read_lag(plain, SPEC), read_lag(tmp_path / "archive", SPEC)
    assert first.provenance() == second.provenance()
    assert first.labels == ["no glaucoma", "suspicious glaucoma"]
    assert sum(first.provenance().counts["train"].values()) > 15


def test_labels_are_the_folders(tmp_path: Path) -> None:
    for id_, (label, _) in flat(read_lag(trees.lag(tmp_path), SPEC)).items():
        assert label == int(id_.startswith("suspicious_glaucoma/"))


def test_attention_maps_go_with_their_images(tmp_path: Path) -> None:
    root = trees.lag(tmp_path)
    for id_, (_, attention) in flat(read_lag(root, SPEC)).items():
        number = int(Path(id_).stem)
        expected = root / id_.replace("/image/", "/attention_map/") if number % 2 == 0 else None
        assert attention == expected


def test_without_attention_maps(tmp_path: Path) -> None:
    root = trees.lag(tmp_path)
    for name in ("non_glaucoma", "suspicious_glaucoma"):
        shutil.rmtree(root / name / "attention_map")
    assert {attention for _, attention in flat(read_lag(root, SPEC)).values()} == {None}


def test_a_class_without_images(tmp_path: Path) -> None:
    root = trees.lag(tmp_path)
    shutil.rmtree(root / "non_glaucoma" / "image")
    with pytest.raises(TrainingError, match="non_glaucoma/image holds no images"):
        read_lag(root, SPEC)
