"""CASIA2's grades: in the order that the recipe states, and never guessed."""

from pathlib import Path

import pytest

from tests.training import released_trees as trees
from training.datasets.casia2 import read_casia2
from training.errors import TrainingError
from training.recipe import FolderSpec, Provenance


def test_grades_are_numbered_in_the_stated_order(tmp_path: Path) -> None:
    trees.casia2(tmp_path)
    spec = FolderSpec(labels=["normal", "mild", "severe"], validation=0.25, test=0.25)
    data = read_casia2(tmp_path, spec, Provenance())
    assert data.labels == ["normal", "mild", "severe"]
    for item in data.splits["train"]:
        assert ["normal", "mild", "severe"].index(item.id.split("/")[0]) == item.label


def test_without_an_order_it_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"folder\.labels"):
        read_casia2(trees.casia2(tmp_path), FolderSpec(), Provenance())


def test_names_that_are_not_the_folders(tmp_path: Path) -> None:
    spec = FolderSpec(labels=["normal", "moderate", "severe"])
    with pytest.raises(TrainingError, match=r"names normal, moderate, severe, and .* has mild, normal, severe"):
        read_casia2(trees.casia2(tmp_path), spec, Provenance())
