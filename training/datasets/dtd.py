"""DTD: 47 describable textures, with ten published splits.

Cimpoi, Maji, Kokkinos, Mohamed, Vedaldi: "Describing Textures in the Wild", CVPR 2014,
https://arxiv.org/abs/1311.3618. 5,640 images; each split has 40 images of each class in train, val and test.
"""

from pathlib import Path

from training.datasets.base import SPLITS, DataSet, Item
from training.datasets.released import release_folder
from training.datasets.splits import tree_md5
from training.errors import TrainingError
from training.recipe import DtdSpec

SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"
ACCESS = f"It is published at {SOURCE}."
LAYOUT = "FOLDER/images/<class>/*.jpg and FOLDER/labels/{train,val,test}{1..10}.txt; FOLDER may also hold dtd/"


def read_dtd(path: Path | None, spec: DtdSpec) -> DataSet:
    """Read one of the ten published splits: each file ``labels/<split><number>.txt`` names an image a line."""
    folder = release_folder(path, "dtd", "DTD", ACCESS, LAYOUT)
    root = folder / "dtd" if (folder / "dtd").is_dir() else folder
    names: dict[str, list[str]] = {}
    for split in SPLITS:
        listing = root / "labels" / f"{split}{spec.split}.txt"
        if not listing.is_file():
            raise TrainingError(f"{listing} is not there; expected layout: {LAYOUT}")
        names[split] = listing.read_text().split()
    files = [name for split in SPLITS for name in names[split]]
    missing = [name for name in files if not (root / "images" / name).is_file()]
    if missing:
        raise TrainingError(
            f"{root / 'images'} lacks {len(missing)} image(s) of split {spec.split}, first {missing[0]!r}: unpack the "
            "archive again"
        )
    labels = sorted({name.split("/")[0] for name in files})
    splits = {
        split: [Item(root / "images" / name, labels.index(name.split("/")[0]), name, name) for name in names[split]]
        for split in SPLITS
    }
    return DataSet(
        labels=labels,
        splits=splits,
        name="DTD",
        licence="research use",
        source=SOURCE,
        md5=tree_md5(root / "images", files),
        split_rule=f"published split {spec.split} of 10",
        random_split=True,  # ten splits, none of them official: a cross-validation takes all images
    )
