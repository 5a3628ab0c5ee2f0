"""One fold of a cross-validation, as a data set with a split of its own."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from training.datasets.base import DataSet, Item
from training.datasets.splits import strata
from training.errors import TrainingError
from training.recipe import FoldSpec

VALIDATION_FOLDS = 7  # a seventh of what is not held out, to choose the epoch and to calibrate by


def take_fold(data: DataSet, spec: FoldSpec) -> DataSet:
    """Hold out one of ``spec.count`` folds as the test split, and divide the rest into train and validation.

    The folds are made of train and validation, since an official test split is left alone; of all images where the
    split was drawn at random. They are stratified by class, and no patient is in two of them. The held-out fold serves
    to measure and for nothing else: the epoch and the calibration are chosen on the validation part of the rest.

    Raises:
        TrainingError: if there are too few images or patients for so many folds.
    """
    pool = [*data.splits["train"], *data.splits["val"], *(data.splits["test"] if data.random_split else [])]
    of = "all images" if data.random_split else "train and validation"
    held_out = divide(pool, spec.count, spec.seed)[spec.index]
    rest = [item for index, item in enumerate(pool) if index not in held_out]
    inner = divide(rest, VALIDATION_FOLDS, spec.seed)[0]
    grouped = len({item.group for item in pool}) < len(pool)
    return dataclasses.replace(
        data,
        name=f"{data.name}, fold {spec.index + 1} of {spec.count}",
        splits={
            "train": [item for index, item in enumerate(rest) if index not in inner],
            "val": [rest[index] for index in sorted(inner)],
            "test": [pool[index] for index in sorted(held_out)],
        },
        split_rule=(
            f"fold {spec.index + 1} of {spec.count} of {of} held out, stratified by class"
            f"{' and grouped by patient' if grouped else ''}, seed {spec.seed}; a seventh of the rest for validation"
        ),
    )


def divide(items: Sequence[Item], count: int, seed: int) -> list[set[int]]:
    """Divide items into folds; return the indices in each."""
    labels, groups = strata(list(items)), [item.group for item in items]
    alone = len(set(groups)) == len(items)
    kind = StratifiedKFold if alone else StratifiedGroupKFold  # the second takes minutes for 100,000 lone images
    smallest = np.unique(labels, return_counts=True)[1].min()
    if len(set(groups)) < count or smallest < count:
        raise TrainingError(
            f"{len(items)} images of {len(set(groups))} patient(s), {smallest} in the smallest class, are too few for "
            f"{count} folds: set fewer, or add images"
        )
    splitter = kind(count, shuffle=True, random_state=seed)
    parts = splitter.split(np.zeros(len(items)), labels, None if alone else groups)
    return [set(held.tolist()) for _, held in parts]
