"""The data set over decoded images: batches are taken from files or arrays by their rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from monai.utils import CommonKeys
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

Pixels = NDArray[np.uint8]


class Place(NamedTuple):
    """Where a decoded image is: a row of a memory-mapped file, or of an array, (rows, C, H, W)."""

    part: Pixels
    row: int


class CachedImages(Dataset):
    """Decoded images with their labels. What is read of a memory-mapped file is shared by all processes."""

    def __init__(self, places: Sequence[Place], labels: Sequence[int | tuple[int, ...]]) -> None:
        parts = {id(place.part): place.part for place in places}
        number = {key: index for index, key in enumerate(parts)}
        self.parts = list(parts.values())
        self.part = np.array([number[id(place.part)] for place in places], dtype=np.int64)
        self.row = np.array([place.row for place in places], dtype=np.int64)
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.pinned = False
        """Whether batches are gathered into pinned memory, from which a GPU can fetch them."""

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = np.array(self.parts[self.part[index]][self.row[index]])
        return {CommonKeys.IMAGE: torch.from_numpy(image), CommonKeys.LABEL: self.labels[index]}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """A whole batch: images (N, C, H, W) and labels (N,) or (N, K)."""
        part, row = self.part[indices], self.row[indices]
        needed = np.unique(part)
        shape = (len(row), *self.parts[needed[0]].shape[1:])
        images = torch.empty(shape, dtype=torch.uint8, pin_memory=self.pinned)
        if len(needed) == 1:
            # Without "clip", NumPy would write into memory of its own first.
            np.take(self.parts[needed[0]], row, axis=0, out=images.numpy(), mode="clip")
        else:
            for number in needed:
                here = np.flatnonzero(part == number)
                images.numpy()[here] = self.parts[number][row[here]]
        return {CommonKeys.IMAGE: images, CommonKeys.LABEL: self.labels[indices]}
