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

from training.check.finding import Finding
from training.data.cache.archives import array_of
from training.datasets import DataSet
from training.datasets.base import SPLITS
from training.datasets.download import md5_of
from training.datasets.folder import list_images
from training.datasets.medmnist import file_name, layout_fault
from training.datasets.medmnist_releases import RELEASES
from training.datasets.released import DICOM_SUFFIXES, SUFFIXES
from training.errors import TrainingError
from training.recipe import FolderSpec


class Entry(NamedTuple):
    """One image and its metadata. ``None`` for what is unknown."""

    id: str
    image: Path | NDArray[np.uint8]
    """A file, or pixels (H, W), (H, W, 1) or (H, W, 3)."""
    label: str
    split: str | None
    patient: str | None
    labels: tuple[str, ...] | None = None
    """Of multi-label data, the labels that the image has; ``label`` is then all of them joined."""

    @property
    def names(self) -> tuple[str, ...]:
        """The class; or the labels, of which there may be none."""
        return (self.label,) if self.labels is None else self.labels


@dataclass
class Source:
    """What is checked, and what reading it found already."""

    name: str
    entries: list[Entry]
    findings: list[Finding] = field(default_factory=list)


def read_source(path: Path, manifest: Path | None = None) -> Source:
    """Read a folder, a table or an ``.npz`` file.

    Raises:
        TrainingError: if there is nothing to check: no such path, no image, not the layout.
    """
    if manifest is not None and not manifest.is_file():
        raise TrainingError(f"{manifest} is not there: correct --manifest, or leave it out")
    if path.is_dir() or (path.suffix.lower() == ".csv" and path.is_file()):
        source = read_images(path, FolderSpec(manifest=manifest))
    elif path.suffix == ".npz" and path.is_file():
        source = read_archive(path)
    else:
        raise TrainingError(
            f"{path} is no folder, table (.csv) or .npz file: name your images' folder, or use --recipe"
        )
    if not source.entries:
        raise TrainingError(f"{path} holds no image of a known format ({', '.join(sorted(SUFFIXES | DICOM_SUFFIXES))})")
    return source


def read_images(path: Path, spec: FolderSpec) -> Source:
    """A folder or a table, by the reader that training uses, with its faults as findings."""
    listing = list_images(path, spec)
    entries = [
        Entry(
            image.file,
            listing.root / image.file,
            image.label if isinstance(image.label, str) else joined(image.label),
            image.split,
            image.patient,
            None if isinstance(image.label, str) else image.label,
        )
        for image in listing.images
    ]
    findings = [Finding.of(fault.severity, fault.check, fault.message(), fault.examples) for fault in listing.faults]
    name = path.stem if path.is_file() else path.resolve().name
    return Source(name, entries, [*findings, *(Finding.of("info", "layout", line) for line in listing.layout)])


def read_archive(path: Path) -> Source:
    """An ``.npz`` in MedMNIST's layout, or with some of its splits alone."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            arrays = {name: archive[name] for name in archive.files if name.endswith("_labels")}
            arrays |= {name: array_of(archive, path, name) for name in archive.files if name.endswith("_images")}
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
        width = 1 if labels.ndim < 2 else labels.shape[1]
        multi_label = RELEASES[dataset].multi_label if dataset in RELEASES else width > 1
        fault = layout_fault(images, labels, len(names) or (width if multi_label else 0), multi_label=multi_label)
        if fault:
            source.findings.append(Finding.of("error", "files", f"{split}_{fault}"))
        if images.dtype == np.uint8 and len(labels) == len(images):
            source.entries.extend(
                Entry(
                    f"{split}-{index}",
                    image,
                    name_of(label, names),
                    split,
                    None,
                    labels_of(label, names) if len(label) > 1 else None,
                )
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


def read_dataset_source(data: DataSet) -> Source:
    """What a recipe's reader returned."""
    entries = [
        Entry(
            item.id,
            item.image,
            name_of(item.label, data.labels),
            split,
            None if item.group == item.id else item.group,
            labels_of(item.label, data.labels) if isinstance(item.label, tuple) else None,
        )
        for split, items in data.splits.items()
        for item in items
    ]
    return Source(data.name, entries, [Finding.of("info", "layout", line) for line in data.layout])


def labels_of(label: Any, names: Sequence[str]) -> tuple[str, ...]:
    """The names of the labels that are set; the number of one without a name."""
    numbers = np.flatnonzero(np.asarray(label).reshape(-1)).tolist()
    return tuple(names[number] if number < len(names) else str(number) for number in numbers)


def joined(labels: Sequence[str]) -> str:
    return " + ".join(labels) or "none"


def name_of(label: Any, names: Sequence[str]) -> str:
    """A class's name; of several labels, as in multi-label data, those that are set, joined."""
    values = np.asarray(label).reshape(-1)
    if len(values) > 1:
        return joined(labels_of(values, names))
    index = values[0].item()
    return names[index] if isinstance(index, int) and 0 <= index < len(names) else str(index)
