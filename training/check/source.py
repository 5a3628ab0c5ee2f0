"""The images to check and their metadata: from a folder, an ``.npz`` in the layout of MedMNIST, or a recipe.

Unlike the readers for training, these continue after a fault and report it as a finding.
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.check.finding import Finding, count
from training.datasets import DataSet
from training.datasets.base import SPLITS
from training.datasets.download import md5_of
from training.datasets.folder import SPLIT_NAMES, read_manifest
from training.datasets.medmnist import RELEASES, file_name
from training.datasets.released import SUFFIXES
from training.errors import TrainingError


class Entry(NamedTuple):
    """One image and its metadata. ``None`` for what is unknown."""

    id: str
    image: Path | NDArray[np.uint8]
    """A file, or pixels (H, W), (H, W, 1) or (H, W, 3)."""
    label: str
    split: str | None
    patient: str | None


@dataclass
class Source:
    """What is checked, and what reading it found already."""

    name: str
    entries: list[Entry]
    findings: list[Finding] = field(default_factory=list)


def read_source(path: Path, manifest: Path | None = None) -> Source:
    """Read a folder or an ``.npz`` file.

    Raises:
        TrainingError: if there is nothing to check: no such path, no image, not the layout.
    """
    if path.is_dir():
        found = manifest or path / "manifest.csv"
        if manifest is not None and not manifest.is_file():
            raise TrainingError(f"{manifest} is not there: correct --manifest, or leave it out")
        source = read_listed(path, found) if found.is_file() else read_tree(path)
    elif path.suffix == ".npz" and path.is_file():
        source = read_archive(path)
    else:
        raise TrainingError(f"{path} is neither a folder nor an .npz file: name your images' folder, or use --recipe")
    if not source.entries:
        raise TrainingError(f"{path} holds no image of a known format ({', '.join(sorted(SUFFIXES))})")
    return source


def read_listed(path: Path, manifest: Path) -> Source:
    """Images that a manifest names; columns as in :mod:`training.datasets.folder`."""
    findings, entries, missing, odd = [], [], [], []
    rows = read_manifest(manifest)
    for row in rows:
        split = row.get("split") or None
        if split is not None and split not in SPLIT_NAMES:
            odd.append(f"{row['file']}: {split}")
        if (path / row["file"]).is_file():
            entries.append(
                Entry(
                    row["file"],
                    path / row["file"],
                    row["label"],
                    SPLIT_NAMES.get(split, split) if split else None,
                    row.get("patient") or None,
                )
            )
        else:
            missing.append(row["file"])
    if missing:
        text = f"{manifest.name} names {count(len(missing), 'missing file')}"
        findings.append(Finding.of("error", "files", text, missing))
    if odd:
        text = f"{manifest.name} has {count(len(odd), 'image')} in a split of unknown name: use train, val or test"
        findings.append(Finding.of("error", "splits", text, odd))
    with_split = sum(entry.split is not None for entry in entries)
    if 0 < with_split < len(entries):
        text = (
            f"{manifest.name} gives a split to {with_split:,} of {len(entries):,} images: give one to all, or to none"
        )
        findings.append(Finding.of("error", "splits", text, [e.id for e in entries if e.split is None]))
    listed = {row["file"] for row in rows}
    others = [name for name in (str(file.relative_to(path)) for file in image_files(path)) if name not in listed]
    if others:
        text = f"{manifest.name} leaves out {count(len(others), 'image file')} of the folder"
        findings.append(Finding.of("info", "files", text, others))
    return Source(path.resolve().name, entries, findings)


def read_tree(path: Path) -> Source:
    """Any tree of classes. The class of an image is the path of its folder, after ``train/``, ``val/`` or ``test/``."""
    files = image_files(path)
    parents = [file.relative_to(path).parts[:-1] for file in files]
    by_split = bool(files) and all(parts and parts[0].lower() in SPLIT_NAMES for parts in parents)
    entries = []
    for file, parts in zip(files, parents, strict=True):
        split = SPLIT_NAMES[parts[0].lower()] if by_split else None
        label = "/".join(parts[1:] if by_split else parts) or "."
        entries.append(Entry(str(file.relative_to(path)), file, label, split, None))
    holders = {file.parent for file in files}
    empty = [
        str(folder.relative_to(path))
        for folder in sorted(path.rglob("*"))
        if folder.is_dir() and visible(folder, path) and not any(holder.is_relative_to(folder) for holder in holders)
    ]
    findings = []
    if empty:
        findings.append(Finding.of("error", "files", f"{count(len(empty), 'folder')} without images", empty))
    return Source(path.resolve().name, entries, findings)


def image_files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and visible(file, path))


def visible(path: Path, root: Path) -> bool:
    """Whether a path is neither hidden nor left behind by archives and notebooks."""
    return not any(part.startswith((".", "__")) for part in path.relative_to(root).parts)


def read_archive(path: Path) -> Source:
    """An ``.npz`` in MedMNIST's layout, or with some of its splits alone."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            arrays = {name: archive[name] for name in archive.files if name.endswith(("_images", "_labels"))}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainingError(f"{path} is not in MedMNIST's layout (six arrays in an .npz file): {error}") from None
    dataset = path.stem.partition("_")[0]
    names = RELEASES[dataset].labels if dataset in RELEASES else []
    source = Source(path.stem, [], publication(path, dataset))
    for split in SPLITS:
        images, labels = arrays.get(f"{split}_images"), arrays.get(f"{split}_labels")
        if images is None or labels is None:
            source.findings.append(Finding.of("error", "files", f"no {split}_images with {split}_labels in the file"))
            continue
        fault = layout_fault(images, labels, len(names))
        if fault:
            source.findings.append(Finding.of("error", "files", f"{split}: {fault}"))
        if images.dtype == np.uint8 and len(labels) == len(images):
            source.entries.extend(
                Entry(f"{split}-{index}", image, name_of(label, names), split, None)
                for index, (image, label) in enumerate(zip(images, labels.reshape(len(labels), -1), strict=True))
            )
    return source


def publication(path: Path, dataset: str) -> list[Finding]:
    """Whether a file with a published name is the published file."""
    sums = {file_name(dataset, size): md5 for size, md5 in RELEASES[dataset].md5.items()} if dataset in RELEASES else {}
    if path.name not in sums:
        return []
    md5 = md5_of(path)
    if md5 == sums[path.name]:
        return [Finding.of("info", "files", f"the file's MD5 is the published one, {md5}")]
    return [Finding.of("error", "files", f"the file's MD5 is {md5}, published is {sums[path.name]}: fetch it again")]


def layout_fault(images: NDArray[Any], labels: NDArray[Any], classes: int) -> str | None:
    """What is wrong with a split's two arrays; ``classes`` is 0 where their number is not known."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        return f"images are {images.dtype} of {images.shape}, expected uint8 (N, H, W) or (N, H, W, 1 or 3)"
    if len(labels) != len(images):
        return f"{len(labels)} labels for {len(images)} images"
    if not np.issubdtype(labels.dtype, np.integer):
        return f"labels are {labels.dtype}, expected whole numbers"
    wrong = np.flatnonzero(((labels < 0) | (labels >= (classes or np.inf))).reshape(len(labels), -1).any(axis=1))
    if len(wrong):
        limit = f"0 to {classes - 1}" if classes else "0 upwards"
        return f"{len(wrong)} label(s) outside {limit}, first {labels[wrong[0]].tolist()} of image {wrong[0]}"
    return None


def read_dataset_source(data: DataSet) -> Source:
    """What a recipe's reader returned."""
    entries = [
        Entry(
            item.id, item.image, name_of(item.label, data.labels), split, None if item.group == item.id else item.group
        )
        for split, items in data.splits.items()
        for item in items
    ]
    return Source(data.name, entries)


def name_of(label: Any, names: Sequence[str]) -> str:
    """A class's name; of several labels, as in multi-label data, those that are set, joined."""
    values = np.asarray(label).reshape(-1)
    if len(values) > 1:
        return " + ".join(names[i] if i < len(names) else str(i) for i in np.flatnonzero(values).tolist()) or "none"
    index = values[0].item()
    return names[index] if isinstance(index, int) and 0 <= index < len(names) else str(index)
