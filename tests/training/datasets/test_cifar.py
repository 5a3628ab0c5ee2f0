"""CIFAR's pickles, written as Python 2 wrote them; pickles that would run code; and copies as images."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.card import InputSpec
from tests.training import released_trees as trees
from training.data.pipeline import IMAGE, cached
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


@pytest.fixture(params=["folder", ".tar.xz", ".tar.gz"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = trees.cifar10_images(tmp_path / "copy")
    return root if request.param == "folder" else trees.tar(root, tmp_path / f"copy{request.param}")


class TestImages:
    def test_are_sorted_into_splits_and_classes_by_their_folders(self, images: Path) -> None:
        data = read("cifar10", images)
        assert data.labels == ["airplane", "automobile"]
        assert {split: list(count.values()) for split, count in data.counts().items()} == {
            "train": [19, 19],
            "val": [5, 5],
            "test": [8, 8],
        }
        assert data.name == f"{images.name} (images, not the release of CIFAR-10)"
        for split, items in data.splits.items():
            for item in items:
                folder, label, _ = item.id.split("/")
                assert (folder == "test") == (split == "test")
                assert data.labels.index(label) == item.label

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [32, 64])
    def test_reach_the_network_grey_or_in_colour_at_any_size(
        self, images: Path, tmp_path: Path, channels: int, size: int
    ) -> None:
        data = read("cifar10", images)
        spec = InputSpec(height=size, width=size, channels=channels, crop="none")
        entries = cached(data.splits["val"], spec)
        for index, item in enumerate(data.splits["val"]):
            with Image.open(tmp_path / "copy" / item.id) as file:
                if images.is_dir() and channels == 1:
                    file.draft("L", file.size)  # files are read as the service reads them: grey is the JPEG's luma
                resized = file.resize((size, size), Image.Resampling.BICUBIC)
                expected = np.array(resized.convert({1: "L", 3: "RGB"}[channels]))
            found = entries[index][IMAGE].numpy().transpose(1, 2, 0).squeeze()
            np.testing.assert_array_equal(found, expected)

    def test_the_sum_changes_with_an_image(self, images: Path, tmp_path: Path) -> None:
        before = read("cifar10", images)
        assert read("cifar10", images).md5 == before.md5
        changed = tmp_path / "copy" / "train" / "airplane" / "0003.jpg"
        changed.write_bytes((tmp_path / "copy" / "train" / "automobile" / "0003.jpg").read_bytes())
        if images.is_file():
            trees.tar(tmp_path / "copy", images)
        assert read("cifar10", images).md5 != before.md5

    def test_a_folder_of_the_release_stays_the_release(self, tmp_path: Path) -> None:
        """CIFAR-100's training images are in a file called train, not in a folder."""
        assert read("cifar100", trees.cifar100(tmp_path)).splits["train"][0].id.startswith("train-")

    def test_a_class_without_test_images_is_named(self, tmp_path: Path) -> None:
        root = trees.cifar10_images(tmp_path / "copy")
        for file in (root / "test" / "automobile").iterdir():
            file.unlink()
        with pytest.raises(TrainingError, match="holds no images in test/automobile; expected layout"):
            read("cifar10", root)
        with pytest.raises(TrainingError, match="holds no images in test/automobile; expected layout"):
            read("cifar10", trees.tar(root, tmp_path / "copy.tar.gz"))

    def test_a_file_that_is_no_archive(self, tmp_path: Path) -> None:
        (tmp_path / "cifar.tar.xz").write_bytes(b"not an archive")
        with pytest.raises(TrainingError, match="can't be read as a tar archive"):
            read("cifar10", tmp_path / "cifar.tar.xz")

    def test_an_archive_that_was_cut_off(self, tmp_path: Path) -> None:
        whole = trees.tar(trees.cifar10_images(tmp_path / "copy"), tmp_path / "copy.tar.xz").read_bytes()
        (tmp_path / "half.tar.xz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(TrainingError, match="can't be read as a tar archive"):
            read("cifar10", tmp_path / "half.tar.xz")

    def test_an_image_of_an_archive_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        root = trees.cifar10_images(tmp_path / "copy")
        (root / "train" / "airplane" / "0005.jpg").write_bytes(b"no image")
        with pytest.raises(TrainingError, match=r"train/airplane/0005\.jpg can't be read as an image"):
            read("cifar10", trees.tar(root, tmp_path / "copy.tar.gz"))

    def test_links_and_other_files_of_an_archive_are_passed_over(self, tmp_path: Path) -> None:
        archive = trees.tar(trees.cifar10_images(tmp_path / "copy"), tmp_path / "copy.tar")
        with tarfile.open(archive, "a") as file:
            link = tarfile.TarInfo("train/airplane/link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            file.addfile(link)
            note = tarfile.TarInfo("train/airplane/README.txt")
            note.size = 4
            file.addfile(note, io.BytesIO(b"note"))
        assert len(read("cifar10", archive).splits["train"]) == 38
