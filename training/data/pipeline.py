"""The MONAI pipeline from items to batches: decode once, cache as uint8, augment whole batches on the tensor."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import monai
import numpy as np
import torch
from monai.data import DataLoader
from monai.data.utils import list_data_collate
from monai.utils import CommonKeys
from torch import Tensor
from torch.utils.data import Dataset, Subset

from models.card import InputSpec
from models.preprocessing import ImageError
from training.data.augmentation import BatchAugmentation
from training.data.cache.images import CachedImages, Pixels, Place
from training.data.cache.store import stored
from training.data.decoding import Fault, Picture, decode_all, is_input, network_input
from training.data.mixup import CutMix, MixUp, OneOf
from training.data.unreadable import Unreadable, refuse
from training.datasets import Item
from training.device import sent
from training.errors import TrainingError

# Plain tensors: MetaTensor's bookkeeping costs more than half of the loader's time and nothing here reads it.
monai.data.set_track_meta(False)

IMAGE, LABEL = CommonKeys.IMAGE, CommonKeys.LABEL
MEASURED = 10_000
"""Number of images that is enough to measure a normalisation, the gates or the styles."""
VALUES = 2**22
"""Values of pixels that are measured at once, as 8 bytes each."""
AT_ONCE = 128 * 224 * 224
"""Pixels that a network takes at once in evaluation."""
ERROR = f"{TrainingError.__module__}.{TrainingError.__qualname__}"


T = TypeVar("T")


def spread(items: Sequence[T], most: int) -> list[T]:
    """All items, or a number of them, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).astype(int)]


def cached(items: Sequence[Item], spec: InputSpec, unreadable: list[Unreadable] | None = None) -> CachedImages:
    """The decoded and resized images of the items, uint8 (C, H, W), each decoded once and kept on disk.

    Arrays that are the network's input already are used as they are. Where the disk can't be used, images are kept in
    memory. Images that can't be read are left out and added to ``unreadable``.

    Raises:
        TrainingError: if images can't be read and there is no such list. The text names them.
    """
    images = [item.image for item in items]
    places = held(images, spec) or stored(images, spec) or decoded_into_memory(images, spec)
    faults = [
        Unreadable(id=item.id, reason=place.reason)
        for item, place in zip(items, places, strict=True)
        if isinstance(place, Fault)
    ]
    if unreadable is None:
        refuse(faults)
    else:
        unreadable.extend(faults)
    whole = [(place, item.label) for item, place in zip(items, places, strict=True) if isinstance(place, Place)]
    return CachedImages([place for place, _ in whole], [label for _, label in whole])


def held(images: Sequence[Picture], spec: InputSpec) -> list[Place | Fault] | None:
    """The arrays themselves, if all images are arrays that need no change."""
    if not all(is_input(image, spec) for image in images):
        return None
    parts: dict[tuple[int, int, bool], Pixels] = {}
    return [place_of(image, parts) for image in images if not isinstance(image, Path)]


def place_of(image: Pixels, parts: dict[tuple[int, int, bool], Pixels]) -> Place:
    """The row (C, H, W) of an image (H, W, C) in the array that it is a view of, or in an array of its own.

    Images of one array have one of the ``parts``, so that a batch of them is a single look-up.
    """
    alone, base = image.transpose(2, 0, 1), image.base
    planar = alone.flags.c_contiguous
    if not (isinstance(base, np.ndarray) and base.dtype == np.uint8 and base.flags.c_contiguous):
        return Place(alone[None], 0)
    if not (planar or image.flags.c_contiguous):
        return Place(alone[None], 0)
    row, start = divmod(address(image) - address(base), image.size)
    key = (id(base), start, planar)
    if key not in parts:
        rows = (base.size - start) // image.size
        values = base.reshape(-1)[start : start + rows * image.size]
        shape = alone.shape if planar else image.shape
        parts[key] = values.reshape(rows, *shape) if planar else values.reshape(rows, *shape).transpose(0, 3, 1, 2)
    return Place(parts[key], row)


def address(array: Pixels) -> int:
    return int(array.__array_interface__["data"][0])


def decoded_into_memory(images: Sequence[Picture], spec: InputSpec) -> list[Place | Fault]:
    part = np.empty((len(images), spec.channels, spec.height, spec.width), np.uint8)
    places: list[Place | Fault] = []
    for row, result in enumerate(decode_all(images, spec)):
        if isinstance(result, Fault):
            places.append(result)
        else:
            part[row] = result
            places.append(Place(part, row))
    return places


class OnDemand(Dataset):
    """Decodes and resizes an item each time it is used: (C, H, W) uint8, as in :func:`cached`."""

    def __init__(self, items: Sequence[Item], spec: InputSpec) -> None:
        self.items = items
        self.spec = spec

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.items[index]
        try:
            pixels = network_input(item.image, self.spec)
        except (ImageError, OSError) as error:
            raise TrainingError(f"{item.image} can't be read: {error}") from None
        return {IMAGE: torch.from_numpy(pixels).permute(2, 0, 1), LABEL: torch.tensor(item.label)}


Images = CachedImages | OnDemand


class Loader(DataLoader):
    """The loader of MONAI, which takes whole batches from a data set that gives them.

    For a mistake of the user, a worker process reports the text without a traceback.
    """

    def __init__(self, dataset: Dataset, **options: Any) -> None:
        super().__init__(dataset, collate_fn=as_batch, **options)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch promises its own class, uses any iterator
        return in_a_sentence(super().__iter__())  # processes start now, not with the first batch


def in_a_sentence(batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except TrainingError as error:
        raise TrainingError(str(error).strip().splitlines()[-1].removeprefix(f"{ERROR}: ")) from None


def as_batch(images: Any) -> Any:
    """Images one by one as a batch; a batch as it is."""
    return images if isinstance(images, Mapping) else list_data_collate(images)


def verify(items: Sequence[Item], spec: InputSpec, unreadable: list[Unreadable], *, keep: bool) -> None:
    """Decode the file of every item. Files that can't be read are added to ``unreadable``.

    With ``keep``, decoded images go to the cache on disk if they can. They never stay in memory.
    """
    files = [item for item in items if isinstance(item.image, Path)]
    images = [item.image for item in files]
    found: Iterable[object] = (stored(images, spec) if keep else None) or decode_all(images, spec)
    unreadable.extend(
        Unreadable(id=item.id, reason=result.reason)
        for item, result in zip(files, found, strict=True)
        if isinstance(result, Fault)
    )


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


def evaluation_batch(height: int, width: int) -> int:
    """Images of this size that are evaluated at once: at most :data:`AT_ONCE` pixels, and 128 images."""
    return max(1, min(128, AT_ONCE // (height * width)))


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel, where the image's range is 0 to 1."""

    mean: list[float]
    std: list[float]

    def __call__(self, images: Tensor) -> Tensor:
        mean, std = (sent(values, images.device)[:, None, None] for values in self)
        return (images - mean) / std

    @classmethod
    def of(cls, dataset: Images, workers: int = 0) -> "Normalisation":
        """Measure it on a data set's images, unaugmented: on all of them, or on 10,000 spread evenly."""
        chosen = np.linspace(0, len(dataset) - 1, min(len(dataset), MEASURED)).astype(int).tolist()
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        size = min(256, max(1, VALUES // max(1, dataset[chosen[0]][IMAGE].numel())))
        for batch in loader(Subset(dataset, chosen), size, workers=workers):
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
        if labels.ndim == 1:
            labels = labels[:, None] == torch.arange(self.classes, device=device)
        targets = labels.float()
        if self.blend is not None:
            images, targets = self.blend(images, targets)
        return self.normalisation(images), targets
