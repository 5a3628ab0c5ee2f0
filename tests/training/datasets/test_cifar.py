"""CIFAR's pickles, written as Python 2 wrote them; and pickles that would run code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training import released_trees as trees
from training.datasets import DataSet
from training.datasets.cifar import read_cifar
from training.errors import TrainingError
from training.recipe import FolderSpec, Provenance

SPEC = FolderSpec(validation=0.2)


def read(dataset: str, path: Path) -> DataSet:
    return read_cifar(dataset, path, SPEC, Provenance())


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py"])
def test_images_and_labels_are_the_files(tmp_path: Path, inside: str) -> None:
    trees.cifar10(tmp_path / inside)
    data = read("cifar10", tmp_path)
    assert data.labels == ["airplane", "automobile"]
    assert [len(data.splits[split]) for split in ("train", "val", "test")] == [40, 10, 10]
    batches = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for split, items in data.splits.items():
        for item in items:
            batch, number = item.id.rsplit("-", 1)
            assert (batch == "test_batch") == (split == "test")
            expected = trees.cifar_images(np.arange(10) % 2, batches.index(batch))[int(number)]
            np.testing.assert_array_equal(np.asarray(item.image), expected)
            assert item.label == int(number) % 2


def test_cifar100_has_the_fine_labels(tmp_path: Path) -> None:
    data = read("cifar100", trees.cifar100(tmp_path))
    assert data.labels == ["apple", "aquarium_fish"]
    assert all(item.label == int(item.id.rsplit("-", 1)[1]) % 2 for item in data.splits["test"])


def test_other_files_do_not_bear_the_releases_name(tmp_path: Path) -> None:
    data = read("cifar10", trees.cifar10(tmp_path / "mine"))
    assert data.name == "mine (not CIFAR-10)"


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    root, mark = trees.cifar10(tmp_path / "data"), tmp_path / "mark"
    (root / "data_batch_3").write_bytes(trees.dangerous_pickle(mark))
    with pytest.raises(TrainingError, match=r"data_batch_3 .*builtin.*exec"):
        read("cifar10", root)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a batch"),
        (b"\x80\x02}(", "not a batch"),
        (trees.python2_pickle([1, 2]), "no dictionary"),
        (trees.python2_pickle({"labels": [0, 1]}), "uint8 data of 3072"),
        (trees.python2_pickle({"labels": [0], "data": np.zeros((2, 3072), np.uint8)}), "uint8 data of 3072"),
        (trees.python2_pickle({"labels": [7], "data": np.zeros((1, 3072), np.uint8)}), "a number from 0 to 1"),
    ],
)
def test_a_damaged_batch_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    root = trees.cifar10(tmp_path)
    (root / "test_batch").write_bytes(content)
    with pytest.raises(TrainingError, match=f"test_batch .*{message}"):
        read("cifar10", root)


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    (trees.cifar10(tmp_path) / "data_batch_4").unlink()
    with pytest.raises(TrainingError, match="lacks data_batch_4"):
        read("cifar10", tmp_path)


def test_python3_arrays_are_read_too(tmp_path: Path) -> None:
    import pickle

    root = trees.cifar10(tmp_path)
    content: dict[str, Any] = {"labels": [0, 1], "data": np.zeros((2, 3072), np.uint8)}
    (root / "test_batch").write_bytes(pickle.dumps(content, protocol=4))
    assert len(read("cifar10", root).splits["test"]) == 2
