"""ImageNet and Stylized-ImageNet: ``train/<wnid>/`` and ``val/<wnid>/``, too many images to keep in memory.

Russakovsky et al.: "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015; Geirhos et al.: "ImageNet-trained
CNNs are biased towards texture", ICLR 2019, https://arxiv.org/abs/1811.12231.
"""

import hashlib
import os
from pathlib import Path

from training.datasets.base import DataSet, Item
from training.datasets.released import images_in, release_folder
from training.datasets.splits import cut_validation
from training.errors import TrainingError
from training.recipe import FolderSpec

TITLES = {"imagenet": "ImageNet (ILSVRC 2012)", "stylized-imagenet": "Stylized-ImageNet"}
SOURCES = {
    "imagenet": "https://www.image-net.org",
    "stylized-imagenet": "https://github.com/rgeirhos/Stylized-ImageNet",
}
ACCESS = {
    "imagenet": "Access is requested at https://www.image-net.org.",
    "stylized-imagenet": "It is made from ImageNet with the code at https://github.com/rgeirhos/Stylized-ImageNet.",
}
LAYOUT = "FOLDER/train/<wnid>/*.JPEG and FOLDER/val/<wnid>/*.JPEG (sort a flat val/ into its classes first)"


def read_image_tree(dataset: str, path: Path | None, spec: FolderSpec) -> DataSet:
    """Read either data set. The published validation images are the test split; validation is cut from training.

    The digest is over names and sizes of the files: reading 140 GB for their sums would take longer than an epoch.
    """
    title = TITLES[dataset]
    folder = release_folder(path, dataset, title, ACCESS[dataset], LAYOUT)
    labels = class_names(folder / "train")
    other = class_names(folder / "val")
    if labels != other or len(labels) < 2:
        differ = sorted(set(labels) ^ set(other))
        raise TrainingError(
            f"{folder}: train/ has {len(labels)} classes and val/ {len(other)}"
            + (f", and they differ in {', '.join(differ[:5])}" if differ else "")
            + f"; expected layout: {LAYOUT}"
        )
    digest = hashlib.md5(usedforsecurity=False)
    published: dict[str, list[Item]] = {"train": [], "val": []}
    for split, items in published.items():
        for label, name in enumerate(labels):
            images = images_in(folder / split / name)
            if not images:
                raise TrainingError(f"{folder / split / name} holds no images; expected layout: {LAYOUT}")
            for image in images:
                id_ = f"{split}/{name}/{image.name}"
                digest.update(os.fsencode(f"{image.stat().st_size}  {id_}\n"))
                items.append(Item(image, label, id_, id_))
    train, val = cut_validation(published["train"], spec)
    return DataSet(
        labels=labels,
        splits={"train": train, "val": val, "test": published["val"]},
        name=title,
        licence="non-commercial research and education",
        source=SOURCES[dataset],
        md5=digest.hexdigest(),
        split_rule=f"published validation images as test; validation is {spec.validation:.3g} of the published "
        f"training images, stratified by class, seed {spec.split_seed}",
    )


def class_names(folder: Path) -> list[str]:
    """The class folders in the order of their names, as every ImageNet reader numbers them."""
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not there; expected layout: {LAYOUT}")
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
