"""What every reader returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.card import TrainingData
from training.errors import TrainingError

SPLITS = ("train", "val", "test")


class Item(NamedTuple):
    """One image with its label."""

    image: Path | NDArray[np.uint8]
    """A file, or pixels (H, W, 1 or 3)."""
    label: int
    group: str
    """The patient; images of one group are never in two splits. The image's own id where patients are unknown."""
    id: str


@dataclass(frozen=True)
class DataSet:
    """Items by split, and where they come from."""

    labels: list[str]
    splits: Mapping[str, list[Item]]
    name: str
    licence: str
    source: str
    md5: str
    split_rule: str
    random_split: bool = False
    """Whether the split was drawn here, so that no official test split stands in the way of a cross-validation."""

    def __post_init__(self) -> None:
        for split in SPLITS:
            present = {item.label for item in self.splits[split]}
            missing = [label for index, label in enumerate(self.labels) if index not in present]
            if missing:
                raise TrainingError(
                    f"{self.name}: the {split} split has no image of {', '.join(missing)}: every class is needed in "
                    "every split, so add images or change the split"
                )
        owners: dict[str, str] = {}
        for split in SPLITS:
            for item in self.splits[split]:
                if owners.setdefault(item.group, split) != split:
                    raise TrainingError(
                        f"{self.name}: patient {item.group!r} has images in {owners[item.group]} and in {split}: "
                        "correct the split, or accuracy will be overestimated"
                    )

    def counts(self) -> dict[str, dict[str, int]]:
        """Split to label to number of images."""
        return {
            split: {label: sum(item.label == index for item in items) for index, label in enumerate(self.labels)}
            for split, items in self.splits.items()
        }

    def prior(self, split: str) -> NDArray[np.float64]:
        """Class frequencies (K,) of a split."""
        counts = np.bincount([item.label for item in self.splits[split]], minlength=len(self.labels))
        return counts / counts.sum()

    def provenance(self) -> TrainingData:
        """The card's section on training data."""
        return TrainingData(
            name=self.name,
            licence=self.licence,
            source=self.source,
            md5=self.md5,
            split_rule=self.split_rule,
            counts=self.counts(),
        )
