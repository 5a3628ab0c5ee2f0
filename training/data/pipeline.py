"""The MONAI pipeline from items to batches: decode once, cache as uint8, augment whole batches on the tensor."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import monai
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, EnsureChannelFirstd, MapTransform, ToTensord
from monai.utils import CommonKeys
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset

from models.card import InputSpec
from models.preprocessing import ImageError, fit, preprocess
from training.data.augmentation import BatchAugmentation
from training.data.mixup import CutMix, MixUp, OneOf
from training.data.unreadable import Unreadable, refuse
from training.datasets import Item
from training.errors import TrainingError

# Plain tensors: MetaTensor's bookkeeping costs more than half of the loader's time and nothing here reads it.
monai.data.set_track_meta(False)

IMAGE, LABEL = CommonKeys.IMAGE, CommonKeys.LABEL
MEASURED = 10_000
"""Number of images that is enough to measure a normalisation, the gates or the styles."""
ERROR = f"{TrainingError.__module__}.{TrainingError.__qualname__}"


T = TypeVar("T")


def spread(items: Sequence[T], most: int) -> list[T]:
    """All items, or a number of them, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).astype(int)]


class Preprocessd(MapTransform):
    """Turn a file or an array into the uint8 input of the network (H, W, C), as the service does."""

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
        TrainingError: if images can't be read and there is no such list. The text names them.
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
            return transform({IMAGE: item.image, LABEL: torch.tensor(item.label)})
        except RuntimeError as error:  # MONAI wraps the error of a transform
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


class OnDemand(Dataset):
    """Decodes and resizes an item each time it is used: (C, H, W) uint8, as in :func:`cached`."""

    def __init__(self, items: Sequence[Item], spec: InputSpec) -> None:
        self.items = items
        self.preprocess = Preprocessd([IMAGE], spec)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.items[index]
        try:
            pixels = self.preprocess.pixels(item.image)
        except (ImageError, OSError) as error:
            raise TrainingError(f"{item.image} can't be read: {error}") from None
        return {IMAGE: torch.from_numpy(pixels).permute(2, 0, 1), LABEL: torch.tensor(item.label)}


Images = CacheDataset | OnDemand


class Loader(DataLoader):
    """The loader of MONAI. For a mistake of the user, a worker process reports the text without a traceback."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch promises its own class, uses any iterator
        try:
            yield from super().__iter__()
        except TrainingError as error:
            raise TrainingError(str(error).strip().splitlines()[-1].removeprefix(f"{ERROR}: ")) from None


def verify(items: Sequence[Item], spec: InputSpec, unreadable: list[Unreadable]) -> None:
    """Decode the file of every item and keep nothing. Files that can't be read are added to ``unreadable``."""
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
    """The error text about the image, inside the error that MONAI raised.

    Raises:
        RuntimeError: the error itself, if it is not about an image or a file.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (ImageError, OSError)):
        cause = cause.__cause__
    if cause is None:
        raise error
    return str(cause)


def loader(
    dataset: Images | Subset, batch_size: int, *, shuffle: bool = False, seed: int = 0, workers: int = 0
) -> Loader:
    """Batches of a data set. If shuffled, the last incomplete batch is dropped."""
    return Loader(
        dataset,
        num_workers=workers,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=shuffle and len(dataset) >= batch_size,
        generator=torch.Generator().manual_seed(seed),
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
    def of(cls, dataset: Images, workers: int = 0) -> "Normalisation":
        """Measure it on a data set's images, unaugmented: on all of them, or on 10,000 spread evenly."""
        chosen = np.linspace(0, len(dataset) - 1, min(len(dataset), MEASURED)).astype(int).tolist()
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in loader(Subset(dataset, chosen), 256, workers=workers):
            images = batch[IMAGE].double() / 255
            count += images.shape[0] * images.shape[2] * images.shape[3]
            total = total + images.sum(dim=(0, 2, 3))
            squares = squares + images.square().sum(dim=(0, 2, 3))
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=1 / 255)
        return cls([round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.tolist()])


class PrepareBatch:
    """From a loader's batch to normalised images and labels, (N,) or (N, K), on the device, for evaluation."""

    def __init__(self, normalisation: Normalisation) -> None:
        self.normalisation = normalisation

    def __call__(
        self, batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False, **_: Any
    ) -> tuple[Tensor, Tensor]:
        images = batch[IMAGE].to(device, non_blocking=non_blocking).float() / 255
        return self.normalisation(images), batch[LABEL].to(device, non_blocking=non_blocking)


class PrepareTrainingBatch:
    """From a loader's batch to augmented, normalised images and target probabilities (N, K), blended if asked."""

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
        one_class = labels.ndim == 1
        targets = torch.nn.functional.one_hot(labels, self.classes).float() if one_class else labels.float()
        if self.blend is not None:
            images, targets = self.blend(images, targets)
        return self.normalisation(images), targets
