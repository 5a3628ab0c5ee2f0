"""Pictures to look at: some images of each class, and the near duplicates side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from training.check.copies import picture
from training.check.duplicates import Pair
from training.check.source import Entry

TILE, LINE = 112, 16
PER_CLASS, MOST_CLASSES, MOST_PAIRS = 10, 40, 30


def contact_sheet(entries: Sequence[Entry], path: Path, seed: int = 0) -> None:
    """Write a PNG with a row of images for each class, drawn at random, each whole."""
    random = np.random.default_rng(seed)
    named = [(entry, entry.names or (entry.label,)) for entry in entries]
    labels = sorted({name for _, names in named for name in names})
    rows = []
    for label in labels[:MOST_CLASSES]:
        of_class = [entry for entry, names in named if label in names]
        chosen = sorted(random.choice(len(of_class), min(PER_CLASS, len(of_class)), replace=False))
        rows.append((f"{label} ({len(of_class):,} images)", [of_class[index] for index in chosen]))
    write(rows, PER_CLASS, path)


def pair_sheet(entries: Sequence[Entry], pairs: Sequence[Pair], path: Path) -> None:
    """Write a PNG with the first near duplicates, a pair a row."""
    rows = []
    for pair in pairs[:MOST_PAIRS]:
        two = [entries[pair.first], entries[pair.second]]
        names = " | ".join(f"{entry.id} {entry.split or ''}" for entry in two)
        rows.append((f"{names} | {pair.distance} bits, r = {pair.correlation:.3f}", two))
    write(rows, 5, path)


def write(rows: Sequence[tuple[str, Sequence[Entry]]], columns: int, path: Path) -> None:
    sheet = Image.new("RGB", (columns * TILE, max(1, len(rows)) * (TILE + LINE)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (title, entries) in enumerate(rows):
        top = number * (TILE + LINE)
        draw.text((2, top + 1), title, fill="black", font=font)
        for column, entry in enumerate(entries):
            tile = ImageOps.pad(picture(entry).convert("RGB"), (TILE - 2, TILE - 2), color="grey")
            sheet.paste(tile, (column * TILE, top + LINE))
    sheet.save(path)
