"""OCTMNIST and RetinaMNIST as released: one ``.npz`` with six arrays.

Yang et al., "MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image classification",
Scientific Data 2023; files published as Zenodo record 10519652.
"""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.datasets.base import SPLITS, DataSet, Item
from training.errors import TrainingError
from training.recipe import InputChoice, Provenance


@dataclass(frozen=True)
class Release:
    """What is published about one data set."""

    title: str
    labels: list[str]
    channels: int
    md5: dict[int, str]
    """Size in pixels to the published sum of its file."""


RELEASES = {
    "octmnist": Release(
        "OCTMNIST",
        ["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"],
        1,
        {
            28: "c68d92d5b585d8d81f7112f81e2d0842",
            64: "e229e9440236b774d9f0dfef9d07bdaf",
            128: "0a97e76651ace45c5d943ee3f65b63ae",
            224: "abc493b6d529d5de7569faaef2773ba3",
        },
    ),
    "retinamnist": Release(
        "RetinaMNIST",
        ["no retinopathy", "mild", "moderate", "severe", "proliferative"],
        3,
        {
            28: "bd4c0672f1bba3e3a89f0e4e876791e4",
            64: "afda852cc34dcda56f86ad2b2457dbcc",
            128: "e48e916a24454daf90583d4e6efb1a18",
            224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
        },
    ),
}
SOURCE = "https://zenodo.org/records/10519652"


def file_name(dataset: str, size: int) -> str:
    """The published file's name: the size is part of it except at 28 pixels."""
    if size not in RELEASES[dataset].md5:
        sizes = ", ".join(map(str, RELEASES[dataset].md5))
        raise TrainingError(f"{dataset} is published at {sizes} pixels, not at {size}: set input.size to one of them")
    return f"{dataset}.npz" if size == 28 else f"{dataset}_{size}.npz"


def read_medmnist(dataset: str, path: Path | None, choice: InputChoice, provenance: Provenance) -> DataSet:
    """Read one of the releases, or another file in the same layout.

    A file with a published name must have the published MD5. A file with another name is a separate data set: its own
    name, never that of the release, is on the card and beside every figure.
    """
    release = RELEASES[dataset]
    published_name = file_name(dataset, choice.size)
    path = path or Path("data") / published_name
    if not path.is_file():
        raise TrainingError(
            f"{path} is not there: fetch it with `python -m training download {dataset} --size {choice.size}`, "
            "or name your file with --set data=PATH"
        )
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    published = {file_name(dataset, size): sum_ for size, sum_ in release.md5.items()}
    official = path.name in published
    if official and md5 != published[path.name]:
        raise TrainingError(
            f"{path} differs from the published file: its MD5 is {md5}, published is {published[path.name]}. "
            "Fetch it again with `python -m training download`, or rename it if it is a data set of your own"
        )
    splits = read_arrays(path, release, choice)
    return DataSet(
        labels=release.labels,
        splits=splits,
        name=release.title if official else f"{provenance.name or path.stem} (not {release.title})",
        licence="CC BY 4.0" if official else provenance.licence,
        source=SOURCE if official else provenance.source,
        md5=md5,
        split_rule="official train, val and test arrays" if official else "train, val and test arrays of the file",
    )


def read_arrays(path: Path, release: Release, choice: InputChoice) -> dict[str, list[Item]]:
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            arrays = {f"{s}_{kind}": archive[f"{s}_{kind}"] for s in SPLITS for kind in ("images", "labels")}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainingError(f"{path} is not in MedMNIST's layout (six arrays in an .npz file): {error}") from None
    splits = {}
    for split in SPLITS:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"].reshape(-1)
        if images.ndim == 3:
            images = images[..., None]
        expected = (choice.size, choice.size, release.channels)
        if images.shape[1:] != expected or images.dtype != np.uint8:
            raise TrainingError(
                f"{path}: {split}_images holds {images.dtype} images of {images.shape[1:]}, expected uint8 {expected}: "
                "set input.size to the file's size"
            )
        whole = np.issubdtype(labels.dtype, np.integer) and len(labels) == len(images) > 0
        if not whole or labels.min() < 0 or labels.max() >= len(release.labels):
            raise TrainingError(
                f"{path}: {split}_labels must hold a whole number from 0 to {len(release.labels) - 1} for each of "
                f"{len(images)} images"
            )
        splits[split] = [
            Item(image, int(label), f"{split}-{index}", f"{split}-{index}")
            for index, (image, label) in enumerate(zip(images, labels, strict=True))
        ]
    return splits
