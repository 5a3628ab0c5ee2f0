"""Office-Home: 65 kinds of objects in four domains. One domain is left out as the test split.

Venkateswara, Eusebio, Chakraborty, Panchanathan: "Deep Hashing Network for Unsupervised Domain Adaptation", CVPR 2017,
https://arxiv.org/abs/1706.07522.
"""

from pathlib import Path

from training.datasets.base import DataSet, Item
from training.datasets.released import images_in, release_folder
from training.datasets.splits import cut_validation, tree_md5
from training.errors import TrainingError
from training.recipe import FolderSpec, OfficeHomeSpec

SOURCE = "https://www.hemanthdv.org/officeHomeDataset.html"
ACCESS = f"It is published at {SOURCE}."
DOMAINS = ("Art", "Clipart", "Product", "Real World")
LAYOUT = "FOLDER/{Art,Clipart,Product,Real World}/<class>/*.jpg; FOLDER may also hold OfficeHomeDataset_10072016/"


def read_office_home(path: Path | None, choice: OfficeHomeSpec, spec: FolderSpec) -> DataSet:
    """Train and validate on three domains, test on the fourth; validation is cut from the three."""
    folder = release_folder(path, "office-home", "Office-Home", ACCESS, LAYOUT)
    unpacked = folder / "OfficeHomeDataset_10072016"
    root = unpacked if unpacked.is_dir() else folder
    missing = [domain for domain in DOMAINS if not (root / domain).is_dir()]
    if missing:
        raise TrainingError(f"{root} lacks {', '.join(missing)}; expected layout: {LAYOUT}")
    labels = sorted({entry.name for domain in DOMAINS for entry in (root / domain).iterdir() if entry.is_dir()})
    seen: list[Item] = []
    unseen: list[Item] = []
    for domain in DOMAINS:
        for label, name in enumerate(labels):
            for image in images_in(root / domain / name):
                id_ = f"{domain}/{name}/{image.name}"
                (unseen if domain == choice.test_domain else seen).append(Item(image, label, id_, id_))
    train, val = cut_validation(seen, spec)
    return DataSet(
        labels=labels,
        splits={"train": train, "val": val, "test": unseen},
        name=f"Office-Home, {choice.test_domain} left out",
        licence="research use",
        source=SOURCE,
        md5=tree_md5(root, [item.id for item in seen + unseen]),
        split_rule=f"test is {choice.test_domain}; validation is {spec.validation:.3g} of the other three domains, "
        f"stratified by class, seed {spec.split_seed}",
    )
