"""A tree of class folders: ``[train|val|test/]<class>/[<patient>/]<image>``."""

from pathlib import Path

from training.datasets.folder.listing import Fault, Listed, Listing
from training.datasets.released import DICOM_SUFFIXES, SUFFIXES, visible
from training.datasets.splits import SPLIT_NAMES
from training.recipe import FolderSpec

DICOM_PREFIX, DICOM_OFFSET = b"DICM", 128


def list_tree(root: Path, spec: FolderSpec) -> Listing:
    """The images of a tree. Class, split and patient follow from the folders.

    The first folder is the class, or, in a tree with a folder ``train``, the split, and the next one the class. The
    folder below the class is the patient, unless ``folder.subfolders`` says otherwise or there is one name alone.
    """
    files = image_files(root)
    places = {file: file.relative_to(root).parts[:-1] for file in files}
    tops = sorted({parts[0] for parts in places.values() if parts})
    splits = {top for top in tops if top.lower() in SPLIT_NAMES}
    named = {SPLIT_NAMES[top.lower()] for top in splits}
    by_split = bool(splits) and (len(splits) == len(tops) or "train" in named)
    depth = int(by_split)
    flat = all(len(parts) <= depth for parts in places.values())
    used = {file: parts for file, parts in places.items() if not by_split or (parts and parts[0] in splits)}
    below = {parts[depth + 1] for parts in used.values() if len(parts) > depth + 1}
    by_patient = spec.subfolders == "patient" and len(below) > 1
    images, loose = [], []
    for file, parts in used.items():
        name = str(file.relative_to(root))
        if len(parts) <= depth and not flat:
            loose.append(name)
            continue
        label = "/".join(parts[depth:]) if spec.subfolders == "class" else "".join(parts[depth : depth + 1])
        patient = parts[depth + 1] if by_patient and len(parts) > depth + 1 else None
        split = SPLIT_NAMES[parts[0].lower()] if by_split else None
        images.append(Listed(name, label or ".", patient, split))
    beside = [top for top in tops if top not in splits] if by_split else []
    faults = [
        Fault("error", "splits", "{} beside the split folders: move it away, or into a split", "folder", beside),
        Fault("info", "files", "{} beside the class folders, left out", "image", loose),
        *empty_folders(root, [root / top for top in splits] if by_split else [root], files),
    ]
    levels = [*(["split"] if by_split else []), "class", *(["patient"] if by_patient else [])]
    layout = f"folders: {'/'.join(f'<{level}>' for level in levels)}/<image>"
    if below and not by_patient and spec.subfolders != "class":
        layout += "; folders below a class are not taken for patients"
    return Listing(root, images, [fault for fault in faults if fault.examples], layout=[layout])


def empty_folders(root: Path, holders: list[Path], files: list[Path]) -> list[Fault]:
    """The folders that hold no image at any depth: an error where they are classes or splits, else a warning."""
    full = {parent for file in files for parent in file.parents}
    empty = [
        folder for folder in sorted(root.rglob("*")) if folder.is_dir() and folder not in full and visible(folder, root)
    ]
    own = [folder for folder in empty if folder.parent in {root, *holders}]
    text = "{} without images: add their images, or remove the folders"
    return [
        Fault("error", "files", text, "folder", [str(folder.relative_to(root)) for folder in own]),
        Fault(
            "warning", "files", text, "folder", [str(folder.relative_to(root)) for folder in empty if folder not in own]
        ),
    ]


def image_files(root: Path) -> list[Path]:
    """The images below a folder, at any depth, sorted. Hidden files are none."""
    return sorted(file for file in root.rglob("*") if visible(file, root) and is_image(file))


def is_image(file: Path) -> bool:
    """Whether a name is that of an image, or an unknown file begins as DICOM does (PS3.10, section 7.1)."""
    suffix = file.suffix.lower()
    if suffix in SUFFIXES or suffix in DICOM_SUFFIXES:
        return file.is_file()
    if (suffix and not suffix[1:].isdigit()) or file.name == "DICOMDIR" or not file.is_file():
        return False
    with file.open("rb") as stream:
        stream.seek(DICOM_OFFSET)
        return stream.read(len(DICOM_PREFIX)) == DICOM_PREFIX
