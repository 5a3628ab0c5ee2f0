"""Reading a tree of folders, and what its data set holds, by path."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.training.tiny_data import tiny_recipe
from training.datasets import DataSet, Item, read_dataset

SPLITS = ("train", "val", "test")


def read(
    path: Path | None, provenance: Mapping[str, str] | None = None, task: str = "multi-class", **folder: Any
) -> DataSet:
    recipe = tiny_recipe(
        path or Path(),
        dataset="folder",
        task=task,
        folder=folder,
        provenance=dict(provenance or {}),
    )
    return read_dataset(recipe.model_copy(update={"data": path}))


def files_of(data: DataSet) -> dict[str, list[str]]:
    """Split to the names of its files, by the path and not by the reader's own ids."""
    return {
        split: sorted("/".join(Path(str(item.image)).parts[-2:]) for item in items)
        for split, items in data.splits.items()
    }


def all_files(data: DataSet) -> list[str]:
    return sorted(file for files in files_of(data).values() for file in files)


def class_of(data: DataSet, item: Item) -> str:
    assert isinstance(item.label, int)
    return data.labels[item.label]


def patient_of(root: Path) -> dict[str, str]:
    with (root / "manifest.csv").open() as file:
        return {row["file"]: row["patient"] for row in csv.DictReader(file)}
