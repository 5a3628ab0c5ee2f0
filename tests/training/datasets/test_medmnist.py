"""Files in MedMNIST's layout: what is read, what is refused, and what a figure may be called."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_medmnist
from training.datasets import DataSet, read_dataset
from training.datasets.medmnist_releases import RELEASES
from training.errors import TrainingError

GRADES = ["no retinopathy", "mild", "moderate", "severe", "proliferative"]
FINDINGS = ["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"]
FEW = {"train": (2, 2, 2, 2), "val": (1, 1, 1, 1), "test": (1, 1, 1, 1)}
FEW_GRADES = {split: (*counts, 1) for split, counts in FEW.items()}

# As published with Zenodo record 10519652.
PUBLISHED = {
    "octmnist": {
        28: "c68d92d5b585d8d81f7112f81e2d0842",
        64: "e229e9440236b774d9f0dfef9d07bdaf",
        128: "0a97e76651ace45c5d943ee3f65b63ae",
        224: "abc493b6d529d5de7569faaef2773ba3",
    },
    "retinamnist": {
        28: "bd4c0672f1bba3e3a89f0e4e876791e4",
        64: "afda852cc34dcda56f86ad2b2457dbcc",
        128: "e48e916a24454daf90583d4e6efb1a18",
        224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
    },
}


def read(path: Path, dataset: str = "retinamnist", size: int = 28, **changes: Any) -> DataSet:
    return read_dataset(tiny_recipe(path, dataset=dataset, task="multi-class", input={"size": size}, **changes))


@pytest.fixture
def colour(tmp_path: Path) -> Path:
    return write_medmnist(tmp_path / "mine.npz", medmnist_arrays(FEW_GRADES))


class TestRelease:
    def test_sums_are_the_published_ones(self) -> None:
        assert {name: release.md5 for name, release in RELEASES.items() if name in PUBLISHED} == PUBLISHED

    def test_labels_are_in_the_published_order(self) -> None:
        assert RELEASES["octmnist"].labels == FINDINGS
        assert RELEASES["retinamnist"].labels == GRADES

    @pytest.mark.parametrize(
        ("name", "channels", "labels", "md5"),
        [
            ("pathmnist", 3, 9, "a8b06965200029087d5bd730944a56c1"),
            ("chestmnist", 1, 14, "02c8a6516a18b556561a56cbdd36c4a8"),
            ("dermamnist", 3, 7, "0744692d530f8e62ec473284d019b0c7"),
            ("pneumoniamnist", 1, 2, "28209eda62fecd6e6a2d98b1501bb15f"),
            ("breastmnist", 1, 2, "750601b1f35ba3300ea97c75c52ff8f6"),
            ("bloodmnist", 3, 8, "7053d0359d879ad8a5505303e11de1dc"),
            ("tissuemnist", 1, 8, "ebe78ee8b05294063de985d821c1c34b"),
            ("organamnist", 1, 11, "68e3f8846a6bd62f0c9bf841c0d9eacc"),
            ("organcmnist", 1, 11, "b9ceb9546e10131b32923c5bbeaea2b1"),
            ("organsmnist", 1, 11, "9ab87b696fb54e2a387ebe992d6ed5f1"),
        ],
    )
    def test_of_every_other_set_is_read(self, tmp_path: Path, name: str, channels: int, labels: int, md5: str) -> None:
        """Number of labels, channels and the sum at 28 pixels as in the package medmnist 3.0.2."""
        counts = dict.fromkeys(FEW, (2,) * labels)
        arrays = medmnist_arrays(counts, channels=channels)
        if name == "chestmnist":
            arrays |= {
                f"{split}_labels": np.eye(labels, dtype=np.uint8)[np.arange(2 * labels) % labels] for split in FEW
            }
        path = write_medmnist(tmp_path / "mine.npz", arrays)
        task = "multi-label" if name == "chestmnist" else "multi-class"
        data = read_dataset(tiny_recipe(path, dataset=name, task=task))
        assert data.counts()["train"] == dict.fromkeys(data.labels, 2)
        assert len(data.labels) == labels
        with pytest.raises(TrainingError, match=md5):
            read_dataset(tiny_recipe(path.rename(tmp_path / f"{name}.npz"), dataset=name, task=task))

    def test_licence_of_derma_mnist(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_medmnist(tmp_path / "mine.npz", medmnist_arrays(dict.fromkeys(FEW, (2,) * 7)))
        monkeypatch.setitem(RELEASES["dermamnist"].md5, 28, read(path, "dermamnist").md5)
        assert read(path.rename(tmp_path / "dermamnist.npz"), "dermamnist").licence == "CC BY-NC 4.0"


class TestMultiLabel:
    """ChestMNIST: (N, 14) of 0 and 1."""

    LABELS = (
        np.random.default_rng(0).permuted(np.tile(np.repeat([0, 1], (30, 10))[:, None], 14), axis=0).astype(np.uint8)
    )

    def write(self, folder: Path, labels: np.ndarray = LABELS) -> Path:
        arrays: dict[str, np.ndarray] = {}
        for split in FEW:
            arrays |= {f"{split}_images": np.zeros((40, 28, 28), np.uint8), f"{split}_labels": labels}
        return write_medmnist(folder / "mine.npz", arrays)

    def test_is_read(self, tmp_path: Path) -> None:
        data = read_dataset(tiny_recipe(self.write(tmp_path), dataset="chestmnist", task="multi-label"))
        assert [item.label for item in data.splits["val"]] == [tuple(row) for row in self.LABELS.tolist()]
        assert data.labels[0] == "atelectasis"

    def test_needs_its_task(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="set it to multi-label"):
            read(self.write(tmp_path), "chestmnist")

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (LABELS[:, :3], r"of shape \(40, 3\): an image needs a 0 or 1 for each label, so save them as \(N, 14\)"),
            (LABELS * 2, "train_labels are outside 0 to 1"),
        ],
    )
    def test_with_other_labels_is_refused(self, tmp_path: Path, labels: np.ndarray, words: str) -> None:
        with pytest.raises(TrainingError, match=words):
            read_dataset(tiny_recipe(self.write(tmp_path, labels), dataset="chestmnist", task="multi-label"))


class TestLayout:
    def test_colour(self, colour: Path) -> None:
        arrays, data = medmnist_arrays(FEW_GRADES), read(colour)
        assert data.labels == GRADES
        assert set(data.splits) == {"train", "val", "test"}
        for split, items in data.splits.items():
            assert [item.label for item in items] == arrays[f"{split}_labels"][:, 0].tolist()
            np.testing.assert_array_equal(np.stack([np.asarray(i.image) for i in items]), arrays[f"{split}_images"])

    def test_grey_gets_a_channel_axis(self, tmp_path: Path) -> None:
        arrays = medmnist_arrays(FEW, channels=1)
        assert arrays["train_images"].shape == (8, 28, 28)
        data = read(write_medmnist(tmp_path / "grey.npz", arrays), "octmnist")
        assert data.labels == FINDINGS
        images = np.stack([np.asarray(item.image) for item in data.splits["train"]])
        np.testing.assert_array_equal(images, arrays["train_images"][..., None])

    def test_of_another_size(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "grey_64.npz", medmnist_arrays(FEW, channels=1, size=64))
        assert np.asarray(read(path, "octmnist", 64).splits["val"][0].image).shape == (64, 64, 1)

    def test_counts_and_prior(self, tmp_path: Path) -> None:
        counts = {"train": (5, 3, 1, 1), "val": (2, 1, 1, 1), "test": (1, 2, 3, 4)}
        data = read(write_medmnist(tmp_path / "grey.npz", medmnist_arrays(counts, channels=1)), "octmnist")
        assert data.counts() == {
            split: dict(zip(FINDINGS, of_class, strict=True)) for split, of_class in counts.items()
        }
        np.testing.assert_allclose(data.prior("train"), [0.5, 0.3, 0.1, 0.1])

    def test_every_image_has_an_id_and_a_group_of_its_own(self, colour: Path) -> None:
        items = [item for split in read(colour).splits.values() for item in split]
        assert len({item.id for item in items}) == len({item.group for item in items}) == len(items) == 19


class TestLargeImages:
    """Memory-mapped from the cache. Only the limit is lower here."""

    @pytest.fixture(autouse=True)
    def limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.data.cache.archives.LARGE", 10_000)
        monkeypatch.setenv("RETINA_TRAINING_CACHE", str(tmp_path / "cache"))

    @pytest.mark.parametrize(("dataset", "channels", "files"), [("retinamnist", 3, 3), ("octmnist", 1, 1)])
    def test_are_the_same(self, tmp_path: Path, dataset: str, channels: int, files: int) -> None:
        arrays = medmnist_arrays(
            {**FEW_GRADES, "train": (4,) * 5} if channels == 3 else {**FEW, "train": (5,) * 4}, channels=channels
        )
        data = read(write_medmnist(tmp_path / "mine.npz", arrays), dataset)
        assert len(list((tmp_path / "cache").rglob("*.npy"))) == files  # grey val and test have 4 kB each
        for split, items in data.splits.items():
            assert [item.label for item in items] == arrays[f"{split}_labels"][:, 0].tolist()
            images = np.stack([np.asarray(item.image) for item in items])
            np.testing.assert_array_equal(images, arrays[f"{split}_images"].reshape(images.shape))

    def test_of_a_damaged_file_are_refused_in_the_same_words(
        self, colour: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = bytearray(colour.read_bytes())
        for index in range(3000, 3300):
            content[index] ^= 0x5A
        colour.write_bytes(content)
        with pytest.raises(TrainingError, match="layout") as mapped:
            read(colour)
        assert list((tmp_path / "cache").rglob("*.npy")) == []
        monkeypatch.setattr("training.data.cache.archives.LARGE", 2**28)
        with pytest.raises(TrainingError) as in_memory:
            read(colour)
        assert str(mapped.value) == str(in_memory.value)


class TestName:
    def test_of_another_file_never_passes_as_the_releases(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "octmini.npz", medmnist_arrays(FEW, channels=1))
        card = read(path, "octmnist").provenance()
        assert card.name.startswith("octmini")
        assert "not OCTMNIST" in card.name
        assert (card.licence, "zenodo" in card.source) == ("not stated", False)

    def test_chosen_in_the_recipe_does_not_either(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "mine.npz", medmnist_arrays(FEW, channels=1))
        assert "not OCTMNIST" in read(path, "octmnist", provenance={"name": "OCTMNIST"}).name

    def test_published_one_with_other_content_is_an_error(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "octmnist.npz", medmnist_arrays(FEW, channels=1))
        with pytest.raises(TrainingError, match="differs from the published file") as caught:
            read(path, "octmnist")
        assert str(path) in str(caught.value)
        assert PUBLISHED["octmnist"][28] in str(caught.value)

    def test_published_one_of_another_size_is_checked_too(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "octmnist_64.npz", medmnist_arrays(FEW, channels=1))
        with pytest.raises(TrainingError, match=PUBLISHED["octmnist"][64]):
            read(path, "octmnist", 28)

    def test_published_one_with_the_published_content_is_the_release(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_medmnist(tmp_path / "octmnist.npz", medmnist_arrays(FEW, channels=1))
        md5 = read(path.rename(tmp_path / "other.npz"), "octmnist").md5
        path = (tmp_path / "other.npz").rename(path)
        monkeypatch.setitem(RELEASES["octmnist"].md5, 28, md5)
        card = read(path, "octmnist").provenance()
        assert (card.name, card.licence, card.md5) == ("OCTMNIST", "CC BY 4.0", md5)
        assert "10519652" in card.source


class TestMissingFile:
    def test_names_the_download_command(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="python -m training download octmnist --size 64") as caught:
            read(tmp_path / "nowhere.npz", "octmnist", 64)
        assert "nowhere.npz" in str(caught.value)

    @pytest.mark.parametrize(("size", "name"), [(28, "octmnist.npz"), (128, "octmnist_128.npz")])
    def test_is_looked_for_under_data(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(TrainingError, match=f"data/{name} is not there"):
            read_dataset(
                tiny_recipe(tmp_path, dataset="octmnist", input={"size": size}).model_copy(update={"data": None})
            )

    def test_is_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="is not there"):
            read(tmp_path)


class TestRefusal:
    def refused(self, path: Path, match: str = "", size: int = 28) -> None:
        with pytest.raises(TrainingError, match=match) as caught:
            read(path, size=size)
        assert path.name.removesuffix(".npz") in str(caught.value)

    def changed(self, folder: Path, **arrays: Any) -> Path:
        return write_medmnist(folder / "mine.npz", medmnist_arrays(FEW_GRADES) | arrays)

    @pytest.mark.parametrize("name", [f"{split}_{kind}" for split in FEW for kind in ("images", "labels")])
    def test_of_a_missing_array(self, tmp_path: Path, name: str) -> None:
        arrays = medmnist_arrays(FEW_GRADES)
        del arrays[name]
        self.refused(write_medmnist(tmp_path / "mine.npz", arrays), name)

    def test_of_a_pickled_object(self, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "exploded",))

        bomb = np.array([Bomb()], dtype=object)
        self.refused(self.changed(tmp_path, train_labels=bomb), "layout")
        (tmp_path / "other.npz").write_bytes(bomb.dumps())
        self.refused(tmp_path / "other.npz", "layout")
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.98])
    def test_of_a_truncated_file(self, colour: Path, keep: float) -> None:
        content = colour.read_bytes()
        colour.write_bytes(content[: int(keep * len(content)) if 0 < keep < 1 else int(keep)])
        self.refused(colour, "layout")

    @pytest.mark.parametrize("place", [0.02, 0.3, 0.6])
    def test_of_flipped_bytes(self, colour: Path, place: float) -> None:
        content = bytearray(colour.read_bytes())
        start = int(place * len(content))
        for index in range(start, start + 300):
            content[index] ^= 0x5A
        colour.write_bytes(content)
        self.refused(colour, "layout")

    def test_of_a_stream_that_does_not_inflate(self, colour: Path) -> None:
        with zipfile.ZipFile(colour) as archive:
            entry = archive.infolist()[0]
        content = bytearray(colour.read_bytes())
        name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
        content[entry.header_offset + 30 + name + extra] = 0xFF  # a deflate block of the reserved kind
        colour.write_bytes(content)
        self.refused(colour, "layout")

    def test_of_a_single_array(self, tmp_path: Path) -> None:
        np.save(tmp_path / "one.npy", medmnist_arrays(FEW_GRADES)["train_images"])
        self.refused((tmp_path / "one.npy").rename(tmp_path / "one.npz"), "layout")

    def test_of_text(self, tmp_path: Path) -> None:
        path = tmp_path / "page.npz"
        path.write_text("<html>404</html>")
        self.refused(path, "layout")

    def test_of_another_size_than_the_recipes(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "big.npz", medmnist_arrays(FEW_GRADES, size=64))
        self.refused(path, r"64 x 64 pixels, and input\.size is 28: set input\.size to 64$")

    def test_of_a_size_that_was_never_published(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="28, 64, 128, 224"):
            read(tmp_path / "retinamnist_96.npz", size=96)

    def test_of_grey_images_where_colour_is_due(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "grey.npz", medmnist_arrays(FEW_GRADES, channels=1))
        self.refused(path, "images are grey, and those of RetinaMNIST are colour")

    def test_of_channels_first(self, tmp_path: Path) -> None:
        images = np.moveaxis(medmnist_arrays(FEW_GRADES)["val_images"], 3, 1)
        self.refused(
            self.changed(tmp_path, val_images=images), r"val_images are \(N, C, H, W\).*moveaxis\(images, 1, 3\)"
        )
        assert np.moveaxis(images, 1, 3).shape[1:] == (28, 28, 3)

    def test_of_oblong_images(self, tmp_path: Path) -> None:
        images = medmnist_arrays(FEW_GRADES)["val_images"][:, :20]
        self.refused(self.changed(tmp_path, val_images=images), "20 x 28 pixels: make them square")

    def test_never_of_a_size_of_ones_own(self, tmp_path: Path) -> None:
        path = write_medmnist(tmp_path / "mine.npz", medmnist_arrays(FEW_GRADES, size=48))
        assert len(read(path, size=48).splits["train"]) == sum(FEW_GRADES["train"])

    def test_of_images_that_are_not_uint8(self, tmp_path: Path) -> None:
        images = medmnist_arrays(FEW_GRADES)["val_images"] / 255.0
        self.refused(self.changed(tmp_path, val_images=images), "val_images are float64: save them as uint8")

    @pytest.mark.parametrize(
        "labels",
        [[[0], [1], [2], [3], [5]], [[-1], [1], [2], [3], [4]], [[0], [1], [2], [3]], [[0, 1]] * 5, []],
        ids=["too high", "negative", "too few", "two columns", "none"],
    )
    def test_of_labels_that_do_not_fit(self, tmp_path: Path, labels: list[list[int]]) -> None:
        self.refused(self.changed(tmp_path, val_labels=np.array(labels, dtype=np.int64)), "val_labels")

    def test_of_fractional_labels(self, tmp_path: Path) -> None:
        labels = np.array([0.4, 1.4, 2.4, 3.4, 4.0])[:, None]
        self.refused(self.changed(tmp_path, val_labels=labels), "val_labels")

    def test_of_an_empty_split(self, tmp_path: Path) -> None:
        images, labels = np.zeros((0, 28, 28, 3), np.uint8), np.zeros((0, 1), np.uint8)
        self.refused(self.changed(tmp_path, val_images=images, val_labels=labels), "val")

    def test_of_a_class_without_images(self, tmp_path: Path) -> None:
        counts = FEW_GRADES | {"test": (1, 0, 1, 1, 1)}
        self.refused(write_medmnist(tmp_path / "mine.npz", medmnist_arrays(counts)), "test split has no image of mild")


class TestRealFiles:
    def test_retinamnist(self, shared_data: Path) -> None:
        data = read(shared_data / "retinamnist" / "retinamnist.npz")
        assert data.name == "RetinaMNIST"
        assert data.md5 == PUBLISHED["retinamnist"][28]
        assert data.labels == GRADES
        assert {split: len(items) for split, items in data.splits.items()} == {"train": 1080, "val": 120, "test": 400}

    @pytest.mark.parametrize(("size", "name"), [(28, "octmini.npz"), (64, "octmini_64.npz"), (128, "octmini_128.npz")])
    def test_octmini_is_not_octmnist(self, shared_data: Path, size: int, name: str) -> None:
        data = read(shared_data / "octmini" / name, "octmnist", size)
        assert data.name.startswith("octmini")
        assert "not OCTMNIST" in data.name
        counts = data.counts()
        assert list(counts["train"].items()) == list(zip(FINDINGS, (383, 88, 75, 426), strict=True))
        assert list(counts["test"].values()) == [100, 17, 12, 159]
        assert [sum(of_class.values()) for of_class in counts.values()] == [972, 155, 288]
