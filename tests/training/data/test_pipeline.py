"""From items to batches: the service's own preprocessing, uint8 in the cache, and loaders that repeat."""

import io
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.card import InputSpec
from models.preprocessing import fit, preprocess
from tests.training.tiny_data import write_tree
from training.data.augmentation import BatchAugmentation
from training.data.cache.images import CachedImages
from training.data.decoding import network_input
from training.data.mixup import MixUp
from training.data.pipeline import (
    IMAGE,
    LABEL,
    Normalisation,
    OnDemand,
    PrepareBatch,
    PrepareTrainingBatch,
    cached,
    loader,
)
from training.datasets import Item
from training.errors import TrainingError
from training.recipe import AugmentationSpec

SPEC = InputSpec(height=16, width=16, channels=3)


def pixels(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def items(count: int, channels: int = 3) -> list[Item]:
    """Images that differ, with their number as label."""
    return [Item(pixels(16, 16, channels, seed=n), n, f"g{n}", f"i{n}") for n in range(count)]


def image_file(path: Path, seed: int) -> Path:
    """An oblong picture, in the format of the path's suffix, with an orientation where it is a JPEG."""
    picture = Image.fromarray(pixels(6, 9, seed=seed)).resize((90, 60))
    exif = Image.Exif()
    if path.suffix == ".jpg":
        exif[0x0112] = 6  # to be turned by a quarter
    picture.save(path, exif=exif)
    return path


class TestPreprocessing:
    @pytest.mark.parametrize("crop", ["centre-square", "none"])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
    def test_of_files_is_the_services(self, tmp_path: Path, suffix: str, channels: int, crop: str) -> None:
        path = image_file(tmp_path / f"eye{suffix}", seed=1)
        spec = InputSpec(height=16, width=20, channels=channels, crop=crop)
        ours = network_input(path, spec)
        np.testing.assert_array_equal(ours, preprocess(path.read_bytes(), spec).pixels)
        assert ours.shape == (16, 20, channels)

    @pytest.mark.parametrize(("held", "wanted"), [(1, 1), (1, 3), (3, 1), (3, 3)])
    def test_of_arrays_is_the_services(self, held: int, wanted: int) -> None:
        array = pixels(40, 56, held)
        spec = InputSpec(height=16, width=16, channels=wanted)
        ours = network_input(array, spec)
        image = Image.fromarray(array[..., 0], "L") if held == 1 else Image.fromarray(array, "RGB")
        np.testing.assert_array_equal(ours, fit(image, spec))
        stream = io.BytesIO()
        image.save(stream, "PNG")
        np.testing.assert_array_equal(ours, preprocess(stream.getvalue(), spec).pixels)

    def test_leaves_an_array_of_the_right_size(self) -> None:
        array = pixels(16, 16)
        np.testing.assert_array_equal(network_input(array, SPEC), array)


class TestCache:
    def test_holds_plain_uint8_tensors_with_channels_first(self, tmp_path: Path) -> None:
        array, path = pixels(16, 16), image_file(tmp_path / "eye.png", seed=0)
        dataset = cached([Item(array, 1, "a", "a"), Item(path, 0, "b", "b")], SPEC)
        for index, expected in enumerate((array, preprocess(path.read_bytes(), SPEC).pixels)):
            image = dataset[index][IMAGE]
            assert type(image) is Tensor  # not MetaTensor
            assert image.dtype == torch.uint8
            np.testing.assert_array_equal(image.numpy(), expected.transpose(2, 0, 1))
        assert [dataset[index][LABEL] for index in range(2)] == [1, 0]

    def test_decodes_once(self, tmp_path: Path) -> None:
        path = image_file(tmp_path / "eye.png", seed=0)
        dataset = cached([Item(path, 0, "a", "a")], SPEC)
        before = dataset[0][IMAGE].clone()
        path.unlink()
        assert torch.equal(dataset[0][IMAGE], before)

    def test_gives_batches_of_plain_tensors(self) -> None:
        batch = next(iter(loader(cached(items(6), SPEC), 4)))
        assert type(batch[IMAGE]) is Tensor
        assert (batch[IMAGE].dtype, tuple(batch[IMAGE].shape)) == (torch.uint8, (4, 3, 16, 16))
        assert type(batch[LABEL]) is Tensor
        assert batch[LABEL].tolist() == [0, 1, 2, 3]

    def test_of_grey_images(self) -> None:
        grey = InputSpec(height=16, width=16, channels=1)
        assert tuple(cached(items(1, channels=1), grey)[0][IMAGE].shape) == (1, 16, 16)


@pytest.fixture(scope="module")
def dataset() -> CachedImages:
    return cached(items(10), SPEC)


class TestLoader:
    def epoch(self, dataset: CachedImages, batch_size: int, *, shuffle: bool = True, seed: int = 0) -> list[list[int]]:
        return [batch[LABEL].tolist() for batch in loader(dataset, batch_size, shuffle=shuffle, seed=seed)]

    def test_unshuffled_gives_every_item_in_order(self, dataset: CachedImages) -> None:
        assert self.epoch(dataset, 4, shuffle=False) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]

    def test_shuffled_leaves_out_the_last_incomplete_batch(self, dataset: CachedImages) -> None:
        batches = self.epoch(dataset, 4)
        assert [len(batch) for batch in batches] == [4, 4]
        assert len(set(chain(*batches))) == 8

    def test_shuffled_keeps_the_only_batch(self, dataset: CachedImages) -> None:
        assert [sorted(batch) for batch in self.epoch(dataset, 16)] == [list(range(10))]

    def test_shuffles_by_its_seed_alone(self, dataset: CachedImages) -> None:
        torch.manual_seed(0)
        first = self.epoch(dataset, 5, seed=1)
        torch.manual_seed(1)
        assert self.epoch(dataset, 5, seed=1) == first
        assert self.epoch(dataset, 5, seed=2) != first
        assert list(chain(*first)) != list(range(10))

    def test_shuffles_again_in_each_epoch(self, dataset: CachedImages) -> None:
        batches = loader(dataset, 10, shuffle=True)
        assert next(iter(batches))[LABEL].tolist() != next(iter(batches))[LABEL].tolist()

    def test_images_stay_with_their_labels(self, dataset: CachedImages) -> None:
        for batch in loader(dataset, 5, shuffle=True):
            for image, label in zip(batch[IMAGE], batch[LABEL].tolist(), strict=True):
                np.testing.assert_array_equal(image.numpy(), pixels(16, 16, seed=label).transpose(2, 0, 1))


class TestNormalisation:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_is_numpys_mean_and_deviation(self, channels: int) -> None:
        # More images than a batch of the measurement, darker towards the end.
        darker = [Item((pixels(16, 16, channels, n) // (1 + n // 100)), 0, "g", "i") for n in range(300)]
        measured = Normalisation.of(cached(darker, InputSpec(height=16, width=16, channels=channels)))
        images = np.stack([np.asarray(item.image) for item in darker]) / 255
        np.testing.assert_allclose(measured.mean, images.mean(axis=(0, 1, 2)), atol=1e-6)
        np.testing.assert_allclose(measured.std, images.std(axis=(0, 1, 2)), atol=1e-6)

    @pytest.mark.parametrize(("values", "size"), [(7 * 16 * 16 * 3 + 5, 7), (1, 1), (2**40, 256)])
    def test_holds_few_values_at_a_time(self, monkeypatch: pytest.MonkeyPatch, values: int, size: int) -> None:
        sizes = []

        def watched(dataset: Any, batch_size: int, **options: Any) -> Any:
            sizes.append(batch_size)
            return loader(dataset, batch_size, **options)

        monkeypatch.setattr("training.data.pipeline.loader", watched)
        monkeypatch.setattr("training.data.pipeline.VALUES", values)
        measured = Normalisation.of(cached(items(40), SPEC))
        images = np.stack([np.asarray(item.image) for item in items(40)]) / 255
        np.testing.assert_allclose(measured.mean, images.mean(axis=(0, 1, 2)), atol=1e-6)
        np.testing.assert_allclose(measured.std, images.std(axis=(0, 1, 2)), atol=1e-6)
        assert sizes == [size]

    @pytest.mark.parametrize("value", [0, 3, 100, 255])
    def test_of_constant_images_is_finite(self, value: int) -> None:
        flat = [Item(np.full((16, 16, 3), value, np.uint8), 0, "g", "i") for _ in range(50)]
        measured = Normalisation.of(cached(flat, SPEC))
        assert measured.mean == pytest.approx([value / 255] * 3, abs=1e-5)
        assert all(0 < deviation < 0.01 for deviation in measured.std)

    def test_is_applied_by_channel(self) -> None:
        images = torch.rand(2, 3, 4, 4)
        mean, std = [0.1, 0.5, 0.9], [0.2, 0.5, 1.0]
        expected = (images.numpy() - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
        np.testing.assert_allclose(Normalisation(mean, std)(images).numpy(), expected, rtol=1e-5, atol=1e-6)


class TestPrepareBatch:
    normalisation = Normalisation([0.5, 0.4, 0.3], [0.1, 0.2, 0.3])

    @pytest.fixture
    def batch(self) -> dict[str, Tensor]:
        return next(iter(loader(cached(items(2), SPEC), 2)))

    def test_scales_and_normalises(self, batch: dict[str, Tensor]) -> None:
        images, labels = PrepareBatch(self.normalisation)(batch, torch.device("cpu"))
        held = batch[IMAGE].numpy() / 255
        expected = [(held[:, c] - mean) / std for c, (mean, std) in enumerate([(0.5, 0.1), (0.4, 0.2), (0.3, 0.3)])]
        np.testing.assert_allclose(images.numpy(), np.stack(expected, axis=1), rtol=1e-5, atol=1e-5)
        assert labels.tolist() == [0, 1]


class TestPrepareTrainingBatch:
    normalisation = Normalisation([0.5, 0.4, 0.3], [0.1, 0.2, 0.3])

    @pytest.fixture
    def batch(self) -> dict[str, Tensor]:
        return next(iter(loader(cached(items(6), SPEC), 6)))

    def test_augments_images_between_0_and_1(self, batch: dict[str, Tensor]) -> None:
        class Inverting(BatchAugmentation):
            def __call__(self, data: Tensor) -> Tensor:
                self.seen = data
                return 1 - data

        augmentation = Inverting(AugmentationSpec())
        prepare = PrepareTrainingBatch(self.normalisation, augmentation, None, 7)
        images, targets = prepare(batch, torch.device("cpu"))
        np.testing.assert_allclose(augmentation.seen.numpy(), batch[IMAGE].numpy() / 255, atol=1e-6)
        inverted = batch | {str(IMAGE): 255 - batch[IMAGE]}
        torch.testing.assert_close(images, PrepareBatch(self.normalisation)(inverted, torch.device("cpu"))[0])
        np.testing.assert_array_equal(targets.numpy(), np.eye(6, 7))

    def test_blends_images_and_targets_alike(self, batch: dict[str, Tensor]) -> None:
        off = AugmentationSpec(
            flip_horizontal=False, rotation=0, scale=0, translation=0, brightness=0, contrast=0, saturation=0
        )
        mixup = MixUp(1.0)
        mixup.set_random_state(1)
        prepare = PrepareTrainingBatch(self.normalisation, BatchAugmentation(off), mixup, 6)
        images, targets = prepare(batch, torch.device("cpu"))
        assert ((targets > 0.01).sum(dim=1) > 1).any()
        # Each image was its own class, so the targets say which images were blended, and in which parts.
        unmixed, _ = PrepareBatch(self.normalisation)(batch, torch.device("cpu"))
        torch.testing.assert_close(images, torch.einsum("nk,kchw->nchw", targets, unmixed), atol=1e-4, rtol=1e-4)


class TestOnDemand:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_equals_the_cache(self, tmp_path: Path, workers: int) -> None:
        files = write_tree(tmp_path, {"a": 3, "b": 2}, size=(20, 14))
        spec = InputSpec(height=8, width=8, channels=3)
        items = [Item(tmp_path / file, int(file[0] == "b"), file, file) for file in files]
        (kept,) = loader(cached(items, spec), 5)
        (anew,) = loader(OnDemand(items, spec), 5, workers=workers)
        assert kept[IMAGE].dtype == anew[IMAGE].dtype == torch.uint8
        torch.testing.assert_close(anew[IMAGE], kept[IMAGE], atol=0, rtol=0)
        assert anew[LABEL].tolist() == kept[LABEL].tolist() == [0, 0, 0, 1, 1]

    @pytest.mark.parametrize("workers", [0, 1])
    def test_an_unreadable_image_is_one_sentence(self, tmp_path: Path, workers: int) -> None:
        (tmp_path / "broken.png").write_bytes(b"not an image")
        item = Item(tmp_path / "broken.png", 0, "a", "a")
        with pytest.raises(TrainingError) as caught:
            list(loader(OnDemand([item], InputSpec(height=8, width=8, channels=3)), 1, workers=workers))
        assert str(caught.value).startswith(f"{tmp_path / 'broken.png'} can't be read: This is not an image file")

    def test_labels_of_a_multi_label_task(self) -> None:
        items = [Item(np.zeros((8, 8, 3), np.uint8), label, str(label), str(label)) for label in ((1, 0, 1), (0, 0, 0))]
        for dataset in (
            OnDemand(items, InputSpec(height=8, width=8, channels=3)),
            cached(items, InputSpec(height=8, width=8, channels=3)),
        ):
            (batch,) = loader(dataset, 2)
            assert batch[LABEL].tolist() == [[1, 0, 1], [0, 0, 0]]
