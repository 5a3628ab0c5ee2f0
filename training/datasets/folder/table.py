"""A table of images: a CSV with their paths, and columns of labels, patient, eye, split, weight and others."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

from training.datasets.folder.columns import Columns, find_columns
from training.datasets.folder.listing import Fault, Listed, Listing
from training.datasets.splits import SPLIT_NAMES
from training.errors import TrainingError
from training.recipe import FolderSpec

Row = dict[str, str]
TRUTH = {"0": False, "0.0": False, "1": True, "1.0": True}
DELIMITERS = ",;\t"


def list_table(root: Path, table: Path, spec: FolderSpec) -> Listing:
    """The images of a table's rows. Columns are found by :func:`training.datasets.folder.columns.find_columns`.

    Raises:
        TrainingError: if the file is not such a table, or a cell can't be what its column says.
    """
    header, rows = read_csv(table)
    columns = find_columns(header, spec.columns, table)
    nameless = [str(number) for number, row in enumerate(rows, start=2) if not row[columns.file]]
    if nameless or not rows:
        where = f"row {nameless[0]} has none" if nameless else "it has no rows"
        raise TrainingError(f"{table} needs one row an image, each with its {columns.file}: {where}")
    images = [listed(row, columns, spec, table) for row in rows]
    missing = {image.file for image in images if not (root / image.file).is_file()}
    listing = Listing(root, [image for image in images if image.file not in missing], source=table.name)
    odd = [
        f"{image.file}: {image.split}" for image in images if image.split and image.split not in SPLIT_NAMES.values()
    ]
    without = [image.file for image in images if not image.split]
    listing.faults = [
        Fault("error", "files", f"{table.name} names {{}} missing below {root}", "file", sorted(missing)),
        Fault(
            "error",
            "files",
            f"{table.name} names {{}} more than once: give each image one row",
            "file",
            listing.doubles(),
        ),
        Fault("error", "splits", f"{table.name} has {{}} in an unknown split: use train, val or test", "image", odd),
    ]
    if len(without) < len(images):
        text = f"{table.name} gives {{}} of {len(images):,} no split: give one to all, or to none"
        listing.faults.append(Fault("error", "splits", text, "image", without))
    listing.faults = [fault for fault in listing.faults if fault.examples]
    used = {name for value in vars(columns).values() for name in (value if isinstance(value, list) else [value])}
    listing.layout = [f"table {table.name}: {columns.described([name for name in header if name not in used])}"]
    listing.labels = columns.label if isinstance(columns.label, list) else None
    return listing


def read_csv(table: Path) -> tuple[list[str], list[Row]]:
    """The header and the rows of a CSV, without the blanks round names and values. Blank lines are passed over.

    The separator is a comma; a semicolon or a tab where the header has one and no comma.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:  # with or without the byte order mark of Excel
            first = stream.readline()
            separator = next((mark for mark in DELIMITERS if mark in first), ",")
            stream.seek(0)
            lines = [
                [cell.strip() for cell in line]
                for line in csv.reader(stream, delimiter=separator, skipinitialspace=True)
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{table} is not a CSV file in UTF-8 ({error}): save it as one") from None
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    double = [name for name in header if name and header.count(name) > 1]
    if double:
        raise TrainingError(f"{table} has two columns named {double[0]!r}: rename or remove one")
    for number, row in enumerate(rows, start=2):
        if len(row) > len(header):
            raise TrainingError(f"{table}: row {number} has {len(row)} values for {len(header)} columns: correct it")
    whole = [row + [""] * (len(header) - len(row)) for row in rows if any(row)]
    return [name for name in header if name], [dict(zip(header, row, strict=True)) for row in whole]


def listed(row: Row, columns: Columns, spec: FolderSpec, table: Path) -> Listed:
    """One image, by its row."""
    file = os.path.normpath(row[columns.file])
    split = row[columns.split] if columns.split else ""
    details = {"eye": columns.eye} if columns.eye else {}
    details |= {name: name for name in columns.subgroups}
    return Listed(
        file,
        label_of(row, file, columns, spec.columns.delimiter, table),
        (row[columns.patient] if columns.patient else "") or None,
        SPLIT_NAMES.get(split.lower(), split) or None,
        weight_of(row[columns.weight], file, table) if columns.weight else 1.0,
        tuple((name, row[column]) for name, column in details.items()),
    )


def label_of(row: Row, file: str, columns: Columns, delimiter: str | None, table: Path) -> str | tuple[str, ...]:
    """The class, or the labels that the image has. Without a column of labels, the class is the folder's name."""
    if isinstance(columns.label, list):
        return tuple(name for name in columns.label if is_set(row, name, file, table))
    if columns.label is None:
        folder = Path(file).parent.name
        if delimiter or not folder:
            raise TrainingError(f"{table} has no column `label`, and {file} is in no class folder: add the column")
        return folder
    value = row[columns.label]
    if delimiter:
        return tuple(sorted({part.strip() for part in value.split(delimiter)} - {""}))
    if not value:
        raise TrainingError(f"{table} gives {file} no {columns.label}: add it, or remove the row")
    return value


def is_set(row: Row, name: str, file: str, table: Path) -> bool:
    if row[name] not in TRUTH:
        raise TrainingError(
            f"{table}: {name} of {file} is {row[name]!r}: write 1 where the image has the label, else 0"
        )
    return TRUTH[row[name]]


def weight_of(text: str, file: str, table: Path) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise TrainingError(f"{table}: the weight of {file} is {text!r}: write a number above 0")
    return weight


def unlisted(listing: Listing, files: Sequence[str], table: Path) -> Fault:
    """Images of the folder that the table leaves out."""
    named = {image.file for image in listing.images}
    others = [file for file in files if file not in named]
    return Fault("info", "files", f"{table.name} leaves out {{}} of the folder", "image file", others)
