"""The 2-D data sets of MedMNIST as released: one ``.npz`` with six arrays, for images and labels of each split."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.cache.archives import array_of
from training.datasets.base import SPLITS, DataSet, Item
from training.datasets.medmnist_releases import RELEASES, SOURCE, Release
from training.errors import TrainingError
from training.recipe import InputChoice, Provenance


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
    path = path or Path("data") / file_name(dataset, choice.size)
    if not path.is_file():
        file_name(dataset, choice.size)  # a size that is not published shows first
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
        licence=release.licence if official else provenance.licence,
        source=SOURCE if official else provenance.source,
        md5=md5,
        split_rule="official train, val and test arrays" if official else "train, val and test arrays of the file",
    )


def read_arrays(path: Path, release: Release, choice: InputChoice) -> dict[str, list[Item]]:
    """The items of each split. Images are rows of one array, which is memory-mapped where it is large."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            images_of = {split: array_of(archive, path, f"{split}_images") for split in SPLITS}
            labels_of = {split: archive[f"{split}_labels"] for split in SPLITS}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainingError(f"{path} is not in MedMNIST's layout (six arrays in an .npz file): {error}") from None
    splits = {}
    for split in SPLITS:
        images, labels = images_of[split], labels_of[split]
        fault = layout_fault(images, labels, len(release.labels), multi_label=release.multi_label)
        images = images if images.ndim == 4 else images[..., None]
        fault = fault or unlike(images, release, choice)
        if fault:
            raise TrainingError(f"{path}: {split}_{fault}")
        splits[split] = [
            Item(
                image,
                tuple(label.tolist()) if release.multi_label else int(label.item()),
                f"{split}-{index}",
                f"{split}-{index}",
            )
            for index, (image, label) in enumerate(zip(images, labels, strict=True))
        ]
    return splits


def layout_fault(images: NDArray[Any], labels: NDArray[Any], classes: int, *, multi_label: bool) -> str | None:
    """What is wrong with a split's two arrays, and what to do. Where ``classes`` is 0, their number is not known."""
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        return (
            f"images are (N, C, H, W), of shape {images.shape}: move the channels to the end with "
            "numpy.moveaxis(images, 1, 3)"
        )
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        return f"images are of shape {images.shape}: save them as (N, H, W) or (N, H, W, 1 or 3)"
    if images.dtype != np.uint8:
        return f"images are {images.dtype}: save them as uint8, with values from 0 to 255"
    if len(labels) != len(images) or not len(images):
        return f"labels are {len(labels)}, for {len(images)} images: give each image one"
    if not np.issubdtype(labels.dtype, np.integer):
        return f"labels are {labels.dtype}: save them as whole numbers"
    columns, limit = labels.reshape(len(labels), -1), classes
    wanted = classes if multi_label else 1
    if wanted and columns.shape[1] != wanted:
        what = "a 0 or 1 for each label" if multi_label else "one whole number"
        return f"labels are of shape {labels.shape}: an image needs {what}, so save them as (N, {wanted})"
    if multi_label:
        limit = 2
    wrong = np.flatnonzero(((columns < 0) | (columns >= (limit or np.inf))).any(axis=1))
    if len(wrong):
        allowed = f"0 to {limit - 1}" if limit else "0 upwards"
        first = f"{labels[wrong[0]].tolist()} of image {wrong[0]}"
        return f"labels are outside {allowed} for {len(wrong)} image(s), first {first}: correct them"
    return None


def unlike(images: NDArray[Any], release: Release, choice: InputChoice) -> str | None:
    """What of images (N, H, W, C) does not fit the data set or the recipe, and what to do."""
    height, width, channels = images.shape[1:]
    if channels != release.channels:
        kind = {1: "grey", 3: "colour"}
        return (
            f"images are {kind[channels]}, and those of {release.title} are {kind[release.channels]}: convert "
            "them, or name the data set that they are like with dataset"
        )
    if height != width:
        return f"images are {height} x {width} pixels: make them square"
    if height != choice.size:
        return f"images are {height} x {width} pixels, and input.size is {choice.size}: set input.size to {height}"
    return None
