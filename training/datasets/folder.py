"""Your own images: one folder per class, with an optional CSV of label, patient and split."""

import csv
from pathlib import Path

from training.datasets.base import SPLITS, DataSet, Item
from training.datasets.released import SUFFIXES
from training.datasets.splits import at_random, tree_md5
from training.errors import TrainingError
from training.recipe import FolderSpec, Provenance

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LAYOUT = "expected one folder a class: FOLDER/<class>/<image>.jpg, with an optional FOLDER/manifest.csv"


def read_folder(path: Path | None, spec: FolderSpec, provenance: Provenance) -> DataSet:
    """Read a class-per-folder tree.

    The column ``split`` of the manifest gives the splits (train, val, test). Without it, images are split at random,
    stratified by class. With a column ``patient``, no patient is in two splits.
    """
    if path is None:
        raise TrainingError("the folder recipe needs your images: --set data=FOLDER")
    if not path.is_dir():
        raise TrainingError(f"{path} is not a folder; {LAYOUT}")
    rows = read_rows(path, spec)
    labels = in_order(sorted({row["label"] for row in rows}), spec.labels, path)
    if len(labels) < 2:
        raise TrainingError(f"{path} holds {len(labels)} class(es) with images; {LAYOUT}")
    empty = (
        [] if manifest_of(path, spec) else [folder.name for folder in class_folders(path) if folder.name not in labels]
    )
    if empty:
        raise TrainingError(
            f"{path} has folders without images: {', '.join(empty)}: add their images, or remove the folders; {LAYOUT}"
        )
    items = [
        Item(path / row["file"], labels.index(row["label"]), row.get("patient") or row["file"], row["file"])
        for row in rows
    ]
    by_patient = all(row.get("patient") for row in rows)
    unit = "patient" if by_patient else "image (no patient column: images of one patient may be in two splits)"
    with_split = sum(bool(row.get("split")) for row in rows)
    if 0 < with_split < len(rows):
        raise TrainingError(
            f"the manifest gives a split to {with_split} of {len(rows)} images: give one to all, or to none"
        )
    if with_split:
        rule = "the manifest's split column" + (", checked by patient" if by_patient else "")
        splits = by_manifest(rows, items)
    else:
        rule = f"random by {unit}, stratified by class, seed {spec.split_seed}"
        splits = at_random(items, spec)
    return DataSet(
        labels=labels,
        splits=splits,
        name=provenance.name or path.resolve().name,
        licence=provenance.licence,
        source=provenance.source,
        md5=tree_md5(path, [row["file"] for row in rows]),
        split_rule=rule,
        random_split=not with_split,
    )


def in_order(found: list[str], wanted: list[str] | None, path: Path) -> list[str]:
    """The classes in the order that the recipe states, if it states one."""
    if wanted is None:
        return found
    if sorted(wanted) != found:
        raise TrainingError(f"folder.labels names {', '.join(wanted)}, and {path} has {', '.join(found) or 'none'}")
    return list(wanted)


def manifest_of(path: Path, spec: FolderSpec) -> Path | None:
    """Path of the manifest, if there is one."""
    if spec.manifest and not spec.manifest.is_file():
        raise TrainingError(f"{spec.manifest} is not there: correct folder.manifest, or leave it out")
    manifest = spec.manifest or path / "manifest.csv"
    return manifest if manifest.is_file() else None


def class_folders(path: Path) -> list[Path]:
    """The folders that are classes: not hidden, and not left behind by archives and notebooks (``__MACOSX``)."""
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith((".", "__")))


def read_rows(path: Path, spec: FolderSpec) -> list[dict[str, str]]:
    """One row per image: from the manifest, or from the names of the folders."""
    manifest = manifest_of(path, spec)
    if manifest is None:
        return [
            {"file": str(file.relative_to(path)), "label": folder.name}
            for folder in class_folders(path)
            for file in sorted(folder.iterdir())
            if file.suffix.lower() in SUFFIXES
        ]
    rows = read_manifest(manifest)
    missing = [row["file"] for row in rows if not (path / row["file"]).is_file()]
    if missing:
        raise TrainingError(f"{manifest} names {len(missing)} file(s) that are not there, first {missing[0]!r}")
    return rows


def read_manifest(manifest: Path) -> list[dict[str, str]]:
    """The rows of a manifest, each with its label. Without a label, the name of the folder is used."""
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as stream:  # with or without the byte order mark of Excel
            rows = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{manifest} is not a CSV file in UTF-8 ({error}): save it as one") from None
    if not rows or not all(row.get("file") for row in rows):
        raise TrainingError(f"{manifest} needs a header with a column `file`, and one row an image")
    for row in rows:
        row["label"] = row.get("label") or Path(row["file"]).parent.name
    return rows


def by_manifest(rows: list[dict[str, str]], items: list[Item]) -> dict[str, list[Item]]:
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for row, item in zip(rows, items, strict=True):
        split = SPLIT_NAMES.get(row["split"], row["split"])
        if split not in splits:
            raise TrainingError(f"split {row['split']!r} of {row['file']}: use one of {', '.join(SPLITS)}")
        splits[split].append(item)
    return splits
