"""CIFAR-10 and CIFAR-100: as released for Python, pickles that are read without running code in them, or as images.

Krizhevsky: "Learning Multiple Layers of Features from Tiny Images", 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import hashlib
import io
import lzma
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy._core.multiarray import _reconstruct  # the only function that a pickled array calls
from numpy.typing import NDArray
from PIL import Image

from training.datasets.base import DataSet, Item
from training.datasets.released import SUFFIXES, images_in, release_folder
from training.datasets.splits import cut_validation, tree_md5
from training.errors import TrainingError
from training.recipe import FolderSpec, Provenance

SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
PIXELS = 3 * 32 * 32
IMAGES = "{train,test}/<class>/*.jpg"
"""The layout of copies as images."""
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Release:
    """What is published about one data set."""

    title: str
    folder: str
    train: dict[str, str]
    """File to its published MD5."""
    test: dict[str, str]
    meta: dict[str, str]
    labels: str
    """Key of the labels in a batch."""
    names: str
    """Key of the labels' names in the meta file."""


RELEASES = {
    "cifar10": Release(
        "CIFAR-10",
        "cifar-10-batches-py",
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        {"test_batch": "40351d587109b95175f43aff81a1287e"},
        {"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
        "labels",
        "label_names",
    ),
    "cifar100": Release(
        "CIFAR-100",
        "cifar-100-python",
        {"train": "16019d7e3df5f24257cddd939b257f8d"},
        {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        {"meta": "7973b15100ade9c7d40fb424638fde48"},
        "fine_labels",
        "fine_label_names",
    ),
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads plain values and NumPy arrays. Any other class or function that a file names is refused."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # the release was written by Python 2, whose strings are bytes

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self.ALLOWED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which data never need") from None


def read_cifar(dataset: str, path: Path | None, spec: FolderSpec, provenance: Provenance) -> DataSet:
    """Read one of the releases, or other files in the same layout; validation is cut from the training images.

    Copies as images are read too: a folder of ``{train,test}/<class>/``, or a tar archive of one, which is kept in
    memory. As with MedMNIST, only files with the published MD5 sums bear the release's name.
    """
    release = RELEASES[dataset]
    if path is not None and (path.is_file() or (path / "train").is_dir()):
        return read_images(path, release, spec, provenance)
    files = release.train | release.test | release.meta
    layout = f"FOLDER/{{{','.join(files)}}} or these in FOLDER/{release.folder}/; or FOLDER/{IMAGES}, or a tar of it"
    folder = release_folder(
        path, release.folder, release.title, f"Unpack the version for Python from {SOURCE}.", layout
    )
    root = folder / release.folder if (folder / release.folder).is_dir() else folder
    missing = [name for name in files if not (root / name).is_file()]
    if missing:
        raise TrainingError(f"{root} lacks {', '.join(missing)}; expected layout: {layout}")
    sums = {name: hashlib.md5((root / name).read_bytes(), usedforsecurity=False).hexdigest() for name in files}
    official = sums == files
    (meta,) = release.meta
    labels = [str(name) for name in read_pickle(root / meta).get(release.names, [])]
    if len(labels) < 2:
        raise TrainingError(f"{root / meta} has no {release.names}; expected layout: {layout}")
    published = [item for name in release.train for item in read_batch(root / name, release, len(labels))]
    train, val = cut_validation(published, spec)
    test = [item for name in release.test for item in read_batch(root / name, release, len(labels))]
    listing = "".join(f"{sums[name]}  {name}\n" for name in sorted(files))
    return DataSet(
        labels=labels,
        splits={"train": train, "val": val, "test": test},
        name=release.title if official else f"{provenance.name or root.resolve().name} (not {release.title})",
        licence="not stated by its authors" if official else provenance.licence,
        source=SOURCE if official else provenance.source,
        md5=hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest(),
        split_rule=f"published test split; validation is {spec.validation:.3g} of the published training images, "
        f"stratified by class, seed {spec.split_seed}",
    )


def read_images(path: Path, release: Release, spec: FolderSpec, provenance: Provenance) -> DataSet:
    """Read a copy as images: a folder, whose files are opened in training, or a tar archive of one."""
    found: Mapping[str, Path | NDArray[np.uint8]] = (
        images_of_archive(path) if path.is_file() else images_of_folder(path)
    )
    folders = {name.rpartition("/")[0] for name in found}
    labels = sorted({folder.partition("/")[2] for folder in folders})
    missing = [f"{split}/{label}" for split in SPLITS for label in labels if f"{split}/{label}" not in folders]
    if len(labels) < 2 or missing:
        which = f"no images in {', '.join(missing[:3])}" if missing else f"{len(labels)} classes"
        raise TrainingError(f"{path} holds {which}; expected layout: {IMAGES}")
    published: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for name, image in sorted(found.items()):
        split, label, _ = name.split("/")
        published[split].append(Item(image, labels.index(label), name, name))
    train, val = cut_validation(published["train"], spec)
    if path.is_file():
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
    else:
        md5 = tree_md5(path, list(found))
    return DataSet(
        labels=labels,
        splits={"train": train, "val": val, "test": published["test"]},
        name=f"{provenance.name or path.resolve().name} (images, not the release of {release.title})",
        licence=provenance.licence,
        source=provenance.source,
        md5=md5,
        split_rule=f"its test folder; validation is {spec.validation:.3g} of its training images, stratified by class, "
        f"seed {spec.split_seed}",
    )


def images_of_folder(root: Path) -> dict[str, Path]:
    """Name (split/class/file) to file."""
    classes = [folder for split in SPLITS for folder in sorted((root / split).glob("[!.]*")) if folder.is_dir()]
    return {image.relative_to(root).as_posix(): image for folder in classes for image in images_in(folder)}


def images_of_archive(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Name (split/class/file) to pixels (H, W, 3). Nothing is unpacked onto the disk."""
    found: dict[str, NDArray[np.uint8]] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts[-3:]
                wanted = len(parts) == 3 and parts[0] in SPLITS and PurePosixPath(parts[2]).suffix.lower() in SUFFIXES
                file = archive.extractfile(member) if wanted and member.isreg() else None
                if file is not None:
                    found["/".join(parts)] = decoded(file.read(), f"{path}: {member.name}")
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise TrainingError(f"{path} can't be read as a tar archive ({error}); expected layout: {IMAGES}") from None
    return found


def decoded(content: bytes, name: str) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{name} can't be read as an image ({error}): fetch the archive again") from None


def read_batch(path: Path, release: Release, classes: int) -> list[Item]:
    """The images of one file: each row holds the red, then the green, then the blue plane of 32 x 32 pixels."""
    batch = read_pickle(path)
    pixels, labels = batch.get("data"), batch.get(release.labels)
    if (
        not isinstance(pixels, np.ndarray)
        or not isinstance(labels, list)
        or (pixels.dtype, pixels.shape) != (np.uint8, (len(labels), PIXELS))
        or not all(isinstance(label, int) and 0 <= label < classes for label in labels)
    ):
        raise TrainingError(
            f"{path} must hold uint8 data of {PIXELS} values an image and, for each, a number from 0 to {classes - 1} "
            f"in {release.labels}"
        )
    images = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    ids = [f"{path.name}-{index}" for index in range(len(labels))]
    return [Item(image, label, id_, id_) for image, label, id_ in zip(images, labels, ids, strict=True)]


def read_pickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = ArrayUnpickler(file).load()
    except Exception as error:  # a damaged pickle can raise almost any error
        raise TrainingError(f"{path} is not a batch of the published kind ({error}): fetch it again") from None
    if not isinstance(content, dict):
        raise TrainingError(f"{path} is not a batch of the published kind (it holds no dictionary): fetch it again")
    return content
