"""ODIR-5K: left and right fundus photographs of 5,000 patients, with any of eight labels for each patient.

Peking University International Competition on Ocular Disease Intelligent Recognition, 2019,
https://odir2019.grand-challenge.org. The release holds the 3,500 patients whose labels are published.
"""

import csv
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from training.datasets.base import DataSet, Item
from training.datasets.released import release_folder
from training.datasets.splits import at_random, tree_md5
from training.errors import TrainingError
from training.recipe import FolderSpec, OdirSpec

SOURCE = "https://odir2019.grand-challenge.org"
ACCESS = f"Access is requested at {SOURCE}."
LAYOUT = (
    "FOLDER/ODIR-5K_Training_Annotations(Updated)_V2.xlsx or FOLDER/full_df.csv, and the images in "
    "FOLDER/Training Images/, ODIR-5K_Training_Images/ or preprocessed_images/"
)
TABLES = ("ODIR-5K_Training_Annotations(Updated)_V2.xlsx", "data.xlsx", "full_df.csv")
IMAGES = ("Training Images", "ODIR-5K_Training_Images", "ODIR-5K_Training_Dataset", "preprocessed_images")
LABELS = {
    "N": "normal",
    "D": "diabetic retinopathy",
    "G": "glaucoma",
    "C": "cataract",
    "A": "age-related macular degeneration",
    "H": "hypertensive retinopathy",
    "M": "pathological myopia",
    "O": "other",
}
EYES = ("Left", "Right")
COLUMNS = ("ID", *(f"{eye}-{what}" for eye in EYES for what in ("Fundus", "Diagnostic Keywords")), *LABELS)

# The label of each keyword. The challenge publishes no list. These stems cover the keywords that name one of the seven
# diseases. Remarks about the photograph give no label. Any other keyword is `other`.
KEYWORDS = {
    "N": "normal fundus",
    "D": "diabetic|proliferative",
    "G": "glaucoma",
    "C": "cataract",
    "A": "age-related macular degeneration",
    "H": "hypertensive",
    "M": "myopi",
}
PHOTOGRAPHIC = {"lens dust", "optic disk photographically invisible", "low image quality", "image offset"}
NO_FUNDUS = {"anterior segment image", "no fundus image"}


def read_odir(path: Path | None, choice: OdirSpec, spec: FolderSpec) -> DataSet:
    """Read the patients' or the eyes' labels; both eyes of a patient are in one split.

    An image is left out if its keywords say that it shows no fundus. A table with a column ``filename`` has one row per
    image, as full_df.csv. Images that it does not list are also left out.
    """
    folder = release_folder(path, "odir", "ODIR-5K", ACCESS, LAYOUT)
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    images = next((folder / name for name in IMAGES if (folder / name).is_dir()), None)
    if table is None or images is None:
        lacking = "no table of labels" if table is None else "no folder of images"
        raise TrainingError(f"{folder} holds {lacking}; expected layout: {LAYOUT}")
    items, left_out = [], 0
    for patient, rows in by_patient(table).items():
        listed = {row["filename"] for row in rows if row.get("filename")}
        for eye in EYES:
            file, keywords = rows[0][f"{eye}-Fundus"], keywords_of(rows[0][f"{eye}-Diagnostic Keywords"])
            if keywords & NO_FUNDUS or (listed and file not in listed):
                left_out += 1
                continue
            label = eye_label(keywords) if choice.labels == "eye" else patient_label(table, rows[0])
            items.append(Item(images / file, label, patient, file))
    missing = [item.id for item in items if not (images / item.id).is_file()]
    if missing:
        raise TrainingError(f"{images} lacks {len(missing)} image(s) that {table.name} names, first {missing[0]!r}")
    return DataSet(
        labels=list(LABELS.values()),
        splits=at_random(items, spec),
        name="ODIR-5K" + (", labels by eye" if choice.labels == "eye" else ""),
        licence="not stated; research only",
        source=SOURCE,
        md5=tree_md5(folder, [table.name, *(f"{images.name}/{item.id}" for item in items)]),
        split_rule=f"random by patient, stratified by rarest label, seed {spec.split_seed}; labels of the "
        f"{choice.labels}; {left_out} images left out that show no fundus or are not listed",
        random_split=True,
    )


def by_patient(table: Path) -> dict[str, list[dict[str, str]]]:
    """The table's rows by patient: one, or one for each image."""
    patients: dict[str, list[dict[str, str]]] = {}
    for row in read_csv(table) if table.suffix == ".csv" else read_xlsx(table):
        lacking = [column for column in COLUMNS if row.get(column) in (None, "")]
        if lacking:
            raise TrainingError(f"{table} lacks a value in {', '.join(lacking)} for patient {row.get('ID') or '?'}")
        patients.setdefault(row["ID"], []).append(row)
    if not patients:
        raise TrainingError(f"{table} holds no patients")
    return patients


def read_csv(table: Path) -> Iterator[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            yield from csv.DictReader(stream)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{table} is not a CSV file in UTF-8 ({error}): fetch it again") from None


def read_xlsx(table: Path) -> Iterator[dict[str, str]]:
    try:
        book = load_workbook(table, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{table} is not an Excel workbook ({error}): fetch it again") from None
    rows = book.worksheets[0].iter_rows(values_only=True)
    header = [str(cell).strip() for cell in next(rows, ())]
    for row in rows:
        if any(cell is not None for cell in row):
            yield {name: "" if cell is None else str(cell) for name, cell in zip(header, row, strict=False)}
    book.close()


def keywords_of(text: str) -> set[str]:
    """The keywords of an eye; the release separates them by ASCII and by full-width commas."""
    return {word.strip().lower() for word in re.split("[,\uff0c]", text) if word.strip()}


def patient_label(table: Path, row: dict[str, str]) -> tuple[int, ...]:
    values = [row[letter] for letter in LABELS]
    if not set(values) <= {"0", "1"}:
        raise TrainingError(f"{table}: the labels of patient {row['ID']} must be 0 or 1, not {' '.join(values)}")
    return tuple(int(value) for value in values)


def eye_label(keywords: set[str]) -> tuple[int, ...]:
    """Labels of one eye from its keywords. It is normal if they name no disease."""
    found = {
        letter
        for word in keywords - PHOTOGRAPHIC
        for letter in [key for key, stem in KEYWORDS.items() if re.search(stem, word)] or ["O"]
    }
    diseases = found - {"N"}
    return tuple(int(letter in (diseases or {"N"})) for letter in LABELS)
