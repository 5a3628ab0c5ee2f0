"""ACRIMA as released, in class folders, and the real photographs where they are at hand."""

from pathlib import Path

import pytest

from tests.training import released_trees as trees
from training.datasets.acrima import read_acrima
from training.errors import TrainingError
from training.recipe import FolderSpec

SPEC = FolderSpec(validation=0.25, test=0.25)


@pytest.mark.parametrize("place", [".", "Images", "Database/Images"])
def test_released_folder_tells_the_class_by_the_name(tmp_path: Path, place: str) -> None:
    trees.acrima(tmp_path / place)
    data = read_acrima(tmp_path, SPEC)
    items = [item for items in data.splits.values() for item in items]
    assert len(items) == 40
    assert all(data.labels[int(str(item.label))] == ("normal", "glaucoma")["_g_" in item.id] for item in items)


def test_class_folders(tmp_path: Path) -> None:
    trees.save_classes(tmp_path, ("normal", "glaucoma"), 12, "{number}.jpg")
    data = read_acrima(tmp_path, SPEC)
    items = [item for items in data.splits.values() for item in items]
    assert len(items) == 24
    assert all(data.labels[int(str(item.label))] == item.id.split("/")[0] for item in items)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(TrainingError, match="holds no images"):
        read_acrima(tmp_path, SPEC)


def test_real_photographs(shared_data: Path) -> None:
    data = read_acrima(shared_data / "acrima", FolderSpec())
    items = [item for items in data.splits.values() for item in items]
    assert len(items) == 553
    for item in items:  # the released names agree with the folders
        assert data.labels[int(str(item.label))] == ("normal", "glaucoma")["_g_" in item.id]
    assert all(0.1 < len(data.splits[split]) / 553 < 0.2 for split in ("val", "test"))
