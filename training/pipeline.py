"""The MONAI pipeline from items to batches: decode once, cache as uint8, augment whole batches on the tensor."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import monai
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, EnsureChannelFirstd, MapTransform, ToTensord
from monai.utils import CommonKeys
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.card import InputSpec
from models.preprocessing import ImageError, fit, preprocess
from training.augmentation import BatchAugmentation
from training.datasets import Item
from training.mixup import CutMix, MixUp, OneOf
from training.unreadable import Unreadable, refuse

# Plain tensors: MetaTensor's bookkeeping costs more than half of the loader's time and nothing here reads it.
monai.data.set_track_meta(False)

IMAGE, LABEL = CommonKeys.IMAGE, CommonKeys.LABEL


class Preprocessd(MapTransform):
    """Turn a file or an array into the network's uint8 input (H, W, C), as the service does."""

    def __init__(self, keys: Sequence[str], spec: InputSpec) -> None:
        super().__init__(keys)
        self.spec = spec

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        result = dict(data)
        for key in self.keys:
            result[str(key)] = self.pixels(data[str(key)])
        return result

    def pixels(self, image: Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
        if isinstance(image, Path):
            return preprocess(image.read_bytes(), self.spec).pixels
        return fit(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), self.spec)


def cached(items: Sequence[Item], spec: InputSpec, unreadable: list[Unreadable] | None = None) -> CacheDataset:
    """Decode and resize every item once, and keep it as a uint8 tensor (C, H, W).

    Images that can't be read are left out and added to ``unreadable``.

    Raises:
        TrainingError: without such a list, if images can't be read; it names them.
    """
    transform = Compose(
        [
            Preprocessd([IMAGE], spec),
            EnsureChannelFirstd(IMAGE, channel_dim=-1),
            ToTensord(IMAGE, dtype=torch.uint8),
        ]
    )

    def load(item: Item) -> Any:
        try:
            return transform({IMAGE: item.image, LABEL: item.label})
        except RuntimeError as error:  # MONAI wraps what a transform raises
            return Unreadable(id=item.id, reason=fault_of(error))

    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(load, items))
    faults = [result for result in loaded if isinstance(result, Unreadable)]
    if unreadable is None:
        refuse(faults)
    else:
        unreadable.extend(faults)
    whole = [result for result in loaded if not isinstance(result, Unreadable)]
    return CacheDataset(whole, Compose([]), num_workers=1, progress=False, copy_cache=False)


def verify(items: Sequence[Item], spec: InputSpec, unreadable: list[Unreadable]) -> None:
    """Decode every item's file and keep nothing; those that can't be read are added to ``unreadable``."""
    preprocessed = Preprocessd([IMAGE], spec)

    def fault(item: Item) -> Unreadable | None:
        try:
            preprocessed.pixels(item.image)
        except (ImageError, OSError) as error:
            return Unreadable(id=item.id, reason=str(error))
        return None

    files = [item for item in items if isinstance(item.image, Path)]
    with ThreadPoolExecutor(2) as pool:
        unreadable.extend(found for found in pool.map(fault, files) if found is not None)


def fault_of(error: RuntimeError) -> str:
    """The sentence about the image inside what MONAI raised.

    Raises:
        RuntimeError: the error itself, if it is none of an image or of reading a file.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (ImageError, OSError)):
        cause = cause.__cause__
    if cause is None:
        raise error
    return str(cause)


def loader(dataset: CacheDataset, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> DataLoader:
    """Batches of a cached data set; a shuffled one leaves out the last incomplete batch."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(
        dataset,
        num_workers=0,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=shuffle and len(dataset) >= batch_size,
        generator=generator,
    )


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel, where the image's range is 0 to 1."""

    mean: list[float]
    std: list[float]

    def __call__(self, images: Tensor) -> Tensor:
        mean = torch.tensor(self.mean, device=images.device)[:, None, None]
        std = torch.tensor(self.std, device=images.device)[:, None, None]
        return (images - mean) / std

    @classmethod
    def of(cls, dataset: CacheDataset) -> "Normalisation":
        """Measure it on a data set's images, unaugmented."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in loader(dataset, 256):
            images = batch[IMAGE].double() / 255
            count += images.shape[0] * images.shape[2] * images.shape[3]
            total = total + images.sum(dim=(0, 2, 3))
            squares = squares + images.square().sum(dim=(0, 2, 3))
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=1 / 255)
        return cls([round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.tolist()])


class PrepareBatch:
    """From a loader's batch to normalised images and labels (N,) on the device, for evaluation."""

    def __init__(self, normalisation: Normalisation) -> None:
        self.normalisation = normalisation

    def __call__(
        self, batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False, **_: Any
    ) -> tuple[Tensor, Tensor]:
        images = batch[IMAGE].to(device, non_blocking=non_blocking).float() / 255
        return self.normalisation(images), batch[LABEL].to(device, non_blocking=non_blocking)


class PrepareTrainingBatch:
    """From a loader's batch to augmented, normalised images and class probabilities (N, K), blended if asked."""

    def __init__(
        self,
        normalisation: Normalisation,
        augmentation: BatchAugmentation,
        blend: MixUp | CutMix | OneOf | None,
        classes: int,
    ) -> None:
        self.normalisation = normalisation
        self.augmentation = augmentation
        self.blend = blend
        self.classes = classes

    def __call__(
        self, batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False, **_: Any
    ) -> tuple[Tensor, Tensor]:
        images = self.augmentation(batch[IMAGE].to(device, non_blocking=non_blocking).float() / 255)
        labels = batch[LABEL].to(device, non_blocking=non_blocking)
        targets = torch.nn.functional.one_hot(labels, self.classes).float()
        if self.blend is not None:
            images, targets = self.blend(images, targets)
        return self.normalisation(images), targets
