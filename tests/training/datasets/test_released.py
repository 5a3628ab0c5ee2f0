"""What is said where a data set that can't be downloaded is not there, and what is right of every reader's splits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training import released_trees as trees
from tests.training.tiny_data import tiny_recipe
from training.datasets import DataSet, read_dataset
from training.errors import TrainingError

TREES: dict[str, Callable[[Path], Path]] = {
    "lag": trees.lag,
    "odir": trees.odir,
    "casia2": trees.casia2,
    "acrima": trees.acrima,
    "cifar10": trees.cifar10,
    "cifar100": trees.cifar100,
    "dtd": trees.dtd,
    "office-home": trees.office_home,
    "imagenet": trees.imagenet,
    "stylized-imagenet": trees.imagenet,
}
TASKS = {"odir": "multi-label", "casia2": "ordinal"}


def read(dataset: str, path: Path, **changes: Any) -> DataSet:
    folder = {"validation": 0.25, "test": 0.25} | changes.pop("folder", {})
    if dataset == "casia2":
        folder |= {"labels": ["normal", "mild", "severe"]}
    task = changes.pop("task", TASKS.get(dataset, "multi-class"))
    return read_dataset(tiny_recipe(path, dataset=dataset, task=task, folder=folder, **changes))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, DataSet]]:
    root = tmp_path_factory.mktemp("released")
    paths = {name: make(root / name) for name, make in TREES.items()}
    return {name: (path, read(name, path)) for name, path in paths.items()}


@pytest.mark.parametrize("name", TREES)
class TestEveryReader:
    def test_reads_each_image_once_and_the_same_again(self, sets: dict[str, tuple[Path, DataSet]], name: str) -> None:
        path, data = sets[name]
        ids = [item.id for items in data.splits.values() for item in items]
        assert len(set(ids)) == len(ids) >= 24
        again = read(name, path)
        assert [item.id for items in again.splits.values() for item in items] == ids
        assert again.provenance() == data.provenance()

    def test_names_its_source_and_its_split(self, sets: dict[str, tuple[Path, DataSet]], name: str) -> None:
        provenance = sets[name][1].provenance()
        assert len(provenance.md5) == 32
        assert len(provenance.split_rule) > 10
        assert provenance.licence
        assert provenance.source

    def test_missing_data_message_states_the_layout(
        self, tmp_path: Path, sets: dict[str, tuple[Path, DataSet]], name: str
    ) -> None:
        with pytest.raises(TrainingError, match="expected layout: FOLDER") as absent:
            read(name, tmp_path / "nothing")
        assert "never downloaded" in str(absent.value)
        (tmp_path / "empty").mkdir()
        with pytest.raises(TrainingError, match=r"expected layout|expected one folder a class|has none"):
            read(name, tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "access"),
    [
        ("lag", "github.com/smilell/AG-CNN"),
        ("odir", "odir2019.grand-challenge.org"),
        ("casia2", "private to its authors"),
    ],
)
def test_access_is_named(tmp_path: Path, name: str, access: str) -> None:
    with pytest.raises(TrainingError, match="is not a folder") as absent:
        read(name, tmp_path / "nothing")
    assert access in str(absent.value)


@pytest.mark.parametrize(("name", "task"), [("odir", "multi-class"), ("acrima", "multi-label")])
def test_a_task_that_the_labels_do_not_fit_is_refused(
    sets: dict[str, tuple[Path, DataSet]], name: str, task: str
) -> None:
    with pytest.raises(TrainingError, match="set it to multi-"):
        read(name, sets[name][0], task=task)
