"""Splits of data that come without them: by patient, stratified by class."""

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from training.datasets.base import Item, labels_of
from training.errors import TrainingError
from training.recipe import FolderSpec

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names that people give to the splits, in lower case."""


def at_random(items: list[Item], spec: FolderSpec) -> dict[str, list[Item]]:
    """Test first, then validation out of the rest; each the fold nearest to the wanted part."""
    rest, test = split_off(items, spec.test, spec.split_seed)
    train, val = split_off(rest, spec.validation * len(items) / len(rest), spec.split_seed)
    return {"train": train, "val": val, "test": test}


def split_off(items: list[Item], part: float, seed: int) -> tuple[list[Item], list[Item]]:
    folds = max(2, min(int(1 / part), int(1 / part) + 1, key=lambda count: abs(1 / count - part)))
    groups = [item.group for item in items]
    if len(set(groups)) < folds:
        raise TrainingError(f"{len(set(groups))} patient(s) are too few for a split of 1 in {folds}: add images")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    try:
        kept, taken = next(splitter.split(np.zeros(len(items)), strata(items), groups))
    except ValueError as error:
        raise TrainingError(f"the images can't be split 1 in {folds} by class ({error}): add images") from None
    return [items[index] for index in kept], [items[index] for index in taken]


def cut_validation(items: list[Item], spec: FolderSpec) -> tuple[list[Item], list[Item]]:
    """Training and validation images of a published training split, by class; for images that have no patients."""
    try:
        kept, taken = train_test_split(
            np.arange(len(items)), test_size=spec.validation, random_state=spec.split_seed, stratify=strata(items)
        )
    except ValueError as error:
        raise TrainingError(
            f"no validation split can be cut from {len(items)} training images ({error}): raise folder.validation"
        ) from None
    return [items[index] for index in sorted(kept)], [items[index] for index in sorted(taken)]


def strata(items: list[Item]) -> NDArray[np.int64]:
    """What a split keeps in proportion (N,): the class; of several labels an image's rarest, which would go missing."""
    labels = labels_of(items)
    if labels.ndim == 1:
        return labels
    by_rarity = np.argsort(labels.sum(axis=0), kind="stable")
    rarest = by_rarity[labels[:, by_rarity].argmax(axis=1)]
    return np.where(labels.any(axis=1), rarest, labels.shape[1])


def tree_md5(path: Path, files: list[str]) -> str:
    """MD5 over the sorted files' names and sums: changes when any image does."""
    total = hashlib.md5(usedforsecurity=False)
    for name in sorted(files):
        with (path / name).open("rb") as file:
            # The name as the bytes that the disk has: it may not be UTF-8.
            total.update(os.fsencode(f"{hashlib.file_digest(file, 'md5').hexdigest()}  {name}\n"))
    return total.hexdigest()
