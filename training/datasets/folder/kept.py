"""The images of a run with what is known of each, as a CSV: for subgroups, and to see who was in which split."""

import csv
import io
from pathlib import Path

from training.datasets.base import DataSet, Item
from training.files import write_atomically

MOST = 1_000_000
"""A list longer than this is not kept."""


def keep_images(data: DataSet, path: Path) -> None:
    """Write one row an image: id, split, label, patient, weight if there are weights, and the details of a table.

    ``training report --metadata`` takes the file as it is. Several labels are divided by ``|``.
    """
    items = [(split, item) for split, of_split in data.splits.items() for item in of_split]
    if len(items) > MOST:
        return
    weighted = any(item.weight != 1 for _, item in items)
    details = list(dict.fromkeys(name for _, item in items for name, _ in item.details))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["id", "split", "label", "patient", *(["weight"] if weighted else []), *details])
    for split, item in items:
        known = dict(item.details)
        writer.writerow(
            [
                item.id,
                split,
                label_text(item, data.labels),
                "" if item.group == item.id else item.group,
                *([f"{item.weight:g}"] if weighted else []),
                *(known.get(name, "") for name in details),
            ]
        )
    write_atomically(path, stream.getvalue().encode(errors="surrogateescape"))


def label_text(item: Item, labels: list[str]) -> str:
    if isinstance(item.label, int):
        return labels[item.label]
    return "|".join(label for label, present in zip(labels, item.label, strict=True) if present)
