"""Your own images: class folders, with or without patients and splits, or a table. The check uses the same reader."""

import re
from pathlib import Path

from models.card import Task
from training.datasets.base import SPLITS, DataSet, Item
from training.datasets.folder.dicom_patients import add_dicom_patients
from training.datasets.folder.listing import Listing
from training.datasets.folder.table import list_table, unlisted
from training.datasets.folder.tree import image_files, list_tree
from training.datasets.splits import at_random, split_off, tree_md5
from training.errors import TrainingError
from training.recipe import FolderSpec, Provenance

LAYOUT = (
    "expected one folder a class, FOLDER/<class>/<image>.jpg, or FOLDER/<split>/<class>/<image>.jpg with the splits "
    "train, val and test, in both with a folder for each patient below the class if you like; or a table, "
    "FOLDER/manifest.csv"
)
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def list_images(path: Path | None, spec: FolderSpec) -> Listing:
    """List the images of a folder, or of a table (``.csv``), with faults but without a judgement.

    Raises:
        TrainingError: if there is no such folder or table, or if the table can't be understood.
    """
    listing = list_source(path, spec)
    add_dicom_patients(listing)
    return listing


def list_source(path: Path | None, spec: FolderSpec) -> Listing:
    """The images as folders or table tell them."""
    if path is None and spec.manifest is None:
        raise TrainingError("the folder recipe needs your images: --set data=FOLDER, or a table: --set data=TABLE.csv")
    if spec.manifest and not spec.manifest.is_file():
        raise TrainingError(f"{spec.manifest} is not there: correct folder.manifest, or leave it out")
    if path is not None and path.suffix.lower() == ".csv" and path.is_file():
        return list_table(path.parent, path, spec)
    if path is None:
        assert spec.manifest is not None
        return list_table(spec.manifest.parent, spec.manifest, spec)
    if not path.is_dir():
        raise TrainingError(f"{path} is not a folder; {LAYOUT}")
    table = spec.manifest or path / "manifest.csv"
    if not table.is_file():
        return list_tree(path, spec)
    listing = list_table(path, table, spec)
    left_out = unlisted(listing, [str(file.relative_to(path)) for file in image_files(path)], table)
    listing.faults += [left_out] if left_out.examples else []
    return listing


def read_folder(path: Path | None, spec: FolderSpec, provenance: Provenance, task: Task = "multi-class") -> DataSet:
    """Read class folders or a table, and divide the images into splits if they are not divided.

    A split that is given is used. A validation or test split that is not given is cut from the training split at
    random, stratified by class. No patient is in two splits.

    Raises:
        TrainingError: if there are no images, or faults in what there is. The text says what to do.
    """
    listing = list_images(path, spec)
    name = path or listing.root
    refuse(listing)
    labels = labels_of(listing, spec, task, name)
    items = [
        Item(
            listing.root / image.file,
            labels.index(image.label)
            if isinstance(image.label, str)
            else tuple(int(label in image.label) for label in labels),
            image.patient or image.file,
            image.file,
            weight=image.weight,
            details=image.details,
        )
        for image in listing.images
    ]
    splits, rule = divided(items, listing, spec)
    return DataSet(
        labels=labels,
        splits=splits,
        name=provenance.name or (name.stem if name.is_file() else name.resolve().name),
        licence=provenance.licence,
        source=provenance.source,
        md5=tree_md5(listing.root, [image.file for image in listing.images]),
        split_rule=rule,
        random_split=not any(image.split for image in listing.images),
        layout=listing.layout,
    )


def labels_of(listing: Listing, spec: FolderSpec, task: Task, path: Path) -> list[str]:
    """The labels in their order: the recipe's, the columns', that of numbers, or the alphabet.

    Raises:
        TrainingError: if there are fewer than two, if they are not those of the recipe, if grades have no order, or if
            one class an image is given for a multi-label task.
    """
    found = sorted(listing.names)
    if len(found) < 2:
        raise TrainingError(f"{path} holds {len(found)} class(es) with images; {LAYOUT}")
    if task == "multi-label" and all(isinstance(image.label, str) for image in listing.images):
        raise TrainingError(
            f"{path} gives each image one class, and task: multi-label needs any number of labels: name their columns "
            "with folder.columns.label, or with folder.columns.delimiter what divides them in one column"
        )
    if spec.labels is not None:
        if sorted(spec.labels) != found:
            raise TrainingError(f"folder.labels names {', '.join(spec.labels)}, and {path} has {', '.join(found)}")
        return list(spec.labels)
    if listing.labels:
        return listing.labels
    if all(NUMBER.fullmatch(name) for name in found):
        return sorted(found, key=float)
    if task == "ordinal":
        raise TrainingError(
            f"task: ordinal needs the order of the grades, and {', '.join(found)} are not numbers: name them from the "
            f"lowest to the highest, --set folder.labels='[{', '.join(found)}]' in the right order"
        )
    return found


def refuse(listing: Listing) -> None:
    """Refuse what would stop a run or make its figures wrong."""
    for fault in listing.faults:
        if fault.severity == "error":
            raise TrainingError(f"{listing.root}: {fault.sentence()}")
    shared = listing.shared_patients()
    if shared:
        patient, splits = min(shared.items())
        of_folders = listing.source == "folders"
        raise TrainingError(
            f"{listing.root}: patient {patient!r} has images in {' and in '.join(s for s in SPLITS if s in splits)}: "
            "correct the split, or accuracy will be overestimated"
            + ("; if the folders are not patients, set folder.subfolders to ignore" if of_folders else "")
        )


def divided(items: list[Item], listing: Listing, spec: FolderSpec) -> tuple[dict[str, list[Item]], str]:
    """The splits, and the rule by which they came about."""
    given = [image.split for image in listing.images]
    known = [bool(image.patient) for image in listing.images]
    unit = "patient"
    if not all(known):
        which = "patients of some images are not known" if any(known) else "no patient is known"
        unit = f"image ({which}: images of one patient may be in two splits)"
    by_class = f"random by {unit}, stratified by class, seed {spec.split_seed}"
    if not any(given):
        return at_random(items, spec), by_class
    splits = {split: [item for item, own in zip(items, given, strict=True) if own == split] for split in SPLITS}
    lacking = [split for split in ("test", "val") if not splits[split]]
    total = len(splits["train"])
    for split in lacking if total else ():
        part = {"test": spec.test, "val": spec.validation}[split] * total / len(splits["train"])
        splits["train"], splits[split] = split_off(splits["train"], part, spec.split_seed)
    return splits, (
        f"the split of {listing.source}, "
        + (f"and {' and '.join(lacking)} cut from train {by_class}" if lacking else f"by {unit}")
    )
