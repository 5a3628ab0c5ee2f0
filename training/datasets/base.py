"""What every reader returns."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.provenance import TrainingData
from training.errors import TrainingError

SPLITS = ("train", "val", "test")
MOST_LABELS = 20
"""Labels that a summary counts one by one."""


class Item(NamedTuple):
    """One image with its label."""

    image: Path | NDArray[np.uint8]
    """A file, or pixels (H, W, 1 or 3)."""
    label: int | tuple[int, ...]
    """The class; for a multi-label task a 0 or 1 for each label."""
    group: str
    """The patient; images of one group are never in two splits. The image's own id where patients are unknown."""
    id: str
    attention: Path | None = None
    """Map of where people looked, as a grey image of the same view. Used for comparison, never as a target."""
    weight: float = 1.0
    """How often the image is seen in training, compared with one of weight 1."""
    details: tuple[tuple[str, str], ...] = ()
    """Name and value of the eye, and of columns for subgroups."""


def labels_of(items: Sequence[Item]) -> NDArray[np.int64]:
    """The items' classes (N,), or labels (N, K)."""
    return np.array([item.label for item in items], dtype=np.int64)


@dataclass(frozen=True)
class DataSet:
    """Items by split, and their source."""

    labels: list[str]
    splits: Mapping[str, list[Item]]
    name: str
    licence: str
    source: str
    md5: str
    split_rule: str
    random_split: bool = False
    """Whether the split was drawn here. Then there is no official test split that a cross-validation must leave out."""
    layout: Sequence[str] = ()
    """Of your own data: sentences on which folder or column was taken for what."""

    def __post_init__(self) -> None:
        for split in SPLITS:
            images, frequencies = len(self.splits[split]), self.frequencies(split)
            missing = [label for label, count in zip(self.labels, frequencies, strict=True) if count == 0]
            if missing:
                raise TrainingError(
                    f"{self.name}: the {split} split has no image of {', '.join(missing)}: every class is needed in "
                    "every split, so add images or change the split"
                )
            always = [label for label, count in zip(self.labels, frequencies, strict=True) if count == images]
            if always and self.multi_label:
                raise TrainingError(
                    f"{self.name}: every image of the {split} split has {', '.join(always)}: images without are needed "
                    "too, so add some or change the split"
                )
        owners: dict[str, str] = {}
        for split in SPLITS:
            for item in self.splits[split]:
                if owners.setdefault(item.group, split) != split:
                    raise TrainingError(
                        f"{self.name}: patient {item.group!r} has images in {owners[item.group]} and in {split}: "
                        "correct the split, or accuracy will be overestimated"
                    )

    @property
    def multi_label(self) -> bool:
        """Whether an image has any number of labels rather than exactly one class."""
        return any(isinstance(item.label, tuple) for item in self.splits["train"][:1])

    def frequencies(self, split: str) -> NDArray[np.int64]:
        """Number of images of each label in a split, (K,)."""
        labels = labels_of(self.splits[split])
        if labels.ndim == 2:
            return np.asarray(labels.sum(axis=0))
        return np.bincount(labels, minlength=len(self.labels))

    def split_digest(self) -> str:
        """SHA-256 of which image is in which split, by their names."""
        lines = sorted(f"{split}\t{item.id}" for split, items in self.splits.items() for item in items)
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()

    def counts(self) -> dict[str, dict[str, int]]:
        """Split to label to number of images."""
        return {split: dict(zip(self.labels, self.frequencies(split).tolist(), strict=True)) for split in self.splits}

    def summary(self) -> list[str]:
        """What was understood, in lines: the layout, and for each split its images, patients and labels."""
        lines = [f"{self.name}: {line}" for line in self.layout]
        for split, of_label in self.counts().items():
            items = self.splits[split]
            groups = {item.group for item in items}
            known = f" of {len(groups):,} patients" if groups != {item.id for item in items} else ", patients not known"
            shown = ", ".join(f"{label} {count:,}" for label, count in list(of_label.items())[:MOST_LABELS])
            more = f" and {len(of_label) - MOST_LABELS} more labels" if len(of_label) > MOST_LABELS else ""
            lines.append(f"{split}: {len(items):,} images{known}: {shown}{more}")
        return lines

    def prior(self, split: str) -> NDArray[np.float64]:
        """Class frequencies (K,) of a split. For multi-label data, the frequency of each label."""
        return self.frequencies(split) / len(self.splits[split])

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
