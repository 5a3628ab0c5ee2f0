"""Makers of tiny data sets in the layouts of their releases."""

import csv
import pickle
import struct
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openpyxl import Workbook
from PIL import Image

from tests.training.tiny_data import brightness_images

ODIR_COLUMNS = [
    *("ID", "Patient Age", "Patient Sex", "Left-Fundus", "Right-Fundus"),
    *("Left-Diagnostic Keywords", "Right-Diagnostic Keywords", *"NDGCAHMO"),
]
ODIR_KEYWORDS = {
    "N": "normal fundus",
    "D": "moderate non proliferative retinopathy",
    "G": "glaucoma",
    "C": "cataract",
    "A": "dry age-related macular degeneration",
    "H": "hypertensive retinopathy",
    "M": "pathological myopia",
    "O": "macular epiretinal membrane",
}


def save(path: Path, label: int, seed: int, size: int = 16) -> None:
    """An RGB image whose brightness tells its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(brightness_images(np.array([label]), size, 3, seed)[0]).save(path)


def save_classes(root: Path, classes: Sequence[str], count: int, pattern: str, seed: int = 0) -> None:
    """``count`` images in each class folder, named by ``pattern`` of class and number."""
    for label, name in enumerate(classes):
        for number in range(count):
            save(root / name / pattern.format(name=name, number=number), label, seed + 100 * label + number)


def lag(root: Path) -> Path:
    """Images of both classes, half of them with an attention map."""
    for label, name in enumerate(("non_glaucoma", "suspicious_glaucoma")):
        for number in range(20):
            save(root / name / "image" / f"{number:04}.jpg", label, 100 * label + number)
            if number % 2 == 0:
                save(root / name / "attention_map" / f"{number:04}.jpg", 0, 500 + number)
    return root


def acrima(root: Path) -> Path:
    for number in range(40):
        glaucoma = number % 2
        save(root / f"Im{number:03}{'_g' * glaucoma}_ACRIMA.jpg", glaucoma, number)
    return root


def casia2(root: Path) -> Path:
    save_classes(root, ("normal", "mild", "severe"), 20, "{number}.png")
    return root


def dtd(root: Path, split: int = 1) -> Path:
    """Two classes of twelve images each; the published lists name four of each for every split."""
    classes = ("banded", "zigzagged")
    save_classes(root / "images", classes, 12, "{name}_{number:04}.jpg")
    (root / "labels").mkdir()
    for index, part in enumerate(("train", "val", "test")):
        names = [f"{name}/{name}_{4 * index + number:04}.jpg" for name in classes for number in range(4)]
        (root / "labels" / f"{part}{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def office_home(root: Path) -> Path:
    for seed, domain in enumerate(("Art", "Clipart", "Product", "Real World")):
        save_classes(root / domain, ("Alarm_Clock", "Backpack"), 6, "{number:05}.jpg", seed=1000 * seed)
    return root


def imagenet(root: Path) -> Path:
    for seed, split in enumerate(("train", "val")):
        save_classes(root / split, ("n01440764", "n01443537"), 12, "{name}_{number}.JPEG", seed=1000 * seed)
    return root


def odir_rows(patients: int = 48) -> list[dict[str, Any]]:
    """Patients with one label each, and every sixth with diabetic retinopathy in the right eye as well."""
    rows = []
    for number in range(patients):
        letters = ["NDGCAHMO"[number % 8], *("D" if number % 6 == 0 else "")]
        right = letters[-1]
        present = set(letters) - {"N"} or {"N"}
        rows.append(
            dict(zip(ODIR_COLUMNS, [number, 60, "Male", f"{number}_left.jpg", f"{number}_right.jpg"], strict=False))
            | {"Left-Diagnostic Keywords": ODIR_KEYWORDS[letters[0]], "Right-Diagnostic Keywords": ODIR_KEYWORDS[right]}
            | {letter: int(letter in present) for letter in "NDGCAHMO"}
        )
    return rows


def odir(root: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """The challenge's own release: an Excel workbook and the training images."""
    rows = odir_rows() if rows is None else rows
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(ODIR_COLUMNS)
    for row in rows:
        sheet.append([row[column] for column in ODIR_COLUMNS])
    root.mkdir(parents=True, exist_ok=True)
    book.save(root / "ODIR-5K_Training_Annotations(Updated)_V2.xlsx")
    for row in rows:
        for eye in ("Left", "Right"):
            save(root / "Training Images" / row[f"{eye}-Fundus"], int(row["ID"]) % 5, int(row["ID"]))
    return root


def odir_csv(root: Path, rows: list[dict[str, Any]]) -> Path:
    """The copy with ``full_df.csv``: a row an image, and preprocessed images."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "full_df.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*ODIR_COLUMNS, "filepath", "labels", "target", "filename"])
        writer.writeheader()
        for row in rows:
            for eye in ("Left", "Right"):
                writer.writerow(row | {"filename": row[f"{eye}-Fundus"]})
                save(root / "preprocessed_images" / row[f"{eye}-Fundus"], int(row["ID"]) % 5, int(row["ID"]))
    return root


def python2_pickle(value: Any) -> bytes:
    """Pickle as Python 2 did with protocol 2, which wrote CIFAR's files: byte strings, and arrays of uint8."""
    return b"\x80\x02" + python2(value) + b"."


def python2(value: Any) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(python2(entry) for entry in value) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(key) + python2(entry) for key, entry in value.items()) + b"u"
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(python2(length) for length in value.shape) + b"t"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + python2(value.tobytes()) + b"tb"


def cifar_images(labels: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """(N, 32, 32, 3)"""
    return brightness_images(labels, 32, 3, seed)


def planes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (N, 32, 32, 3) as CIFAR's rows: all red values, then green, then blue."""
    return np.stack([np.concatenate([image[..., channel].ravel() for channel in range(3)]) for image in images])


def cifar10(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate((*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")):
        labels = np.arange(10) % 2
        content = {
            "batch_label": name,
            "labels": labels.tolist(),
            "data": planes(cifar_images(labels, seed)),
            "filenames": [f"{name}_{number}.png" for number in range(10)],
        }
        (root / name).write_bytes(python2_pickle(content))
    meta = {"num_cases_per_batch": 10, "label_names": ["airplane", "automobile"], "num_vis": 3072}
    (root / "batches.meta").write_bytes(python2_pickle(meta))
    return root


def cifar10_images(root: Path) -> Path:
    """A copy as images: 24 in training and 8 in test of each of two classes, of random colours."""
    random = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 8)):
        for label, name in enumerate(("airplane", "automobile")):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = random.integers(0, 160, (32, 32, 3)) + 90 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04}.jpg", quality=90)
    return root


def tar(root: Path, archive: Path) -> Path:
    """The folder's contents as a tar archive, compressed as its name says."""
    compression: Any = {".xz": "w:xz", ".gz": "w:gz"}.get(archive.suffix, "w")
    with tarfile.open(archive, compression) as file:
        file.add(root, arcname=".")
    return archive


def cifar100(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate((("train", 40), ("test", 10))):
        labels = np.arange(count) % 2
        content = {
            "filenames": [f"{number}.png" for number in range(count)],
            "batch_label": name,
            "fine_labels": labels.tolist(),
            "coarse_labels": [0] * count,
            "data": planes(cifar_images(labels, seed)),
        }
        (root / name).write_bytes(python2_pickle(content))
    meta = {"fine_label_names": ["apple", "aquarium_fish"], "coarse_label_names": ["mixed"]}
    (root / "meta").write_bytes(python2_pickle(meta))
    return root


class Dangerous:
    """Its pickle calls a function when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, (f"import pathlib; pathlib.Path({str(self.mark)!r}).touch()",)


def dangerous_pickle(mark: Path) -> bytes:
    """A pickle that makes the file ``mark`` wherever it is read without care."""
    return pickle.dumps({"data": Dangerous(mark), "labels": []}, protocol=2)
