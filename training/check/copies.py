"""How reliable the search for near duplicates is on these images: copies that it finds, and false alarms."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from training.check.duplicates import MAX_DISTANCE, MIN_CORRELATION, Pair, Thumbnails
from training.check.scan import decode_at_full_size, scan_pixels
from training.check.source import Entry

SAMPLE = 100


def recompressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.resize(image.size, box=(0.01 * width, 0.01 * height, 0.99 * width, 0.99 * height))


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved as JPEG of quality 50": recompressed,
    "reduced to half the size": lambda image: image.resize((max(image.width // 2, 1), max(image.height // 2, 1))),
    "brightened by 15 %": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "cropped by 1 % on each side": cropped,
    "turned by 2 degrees": lambda image: image.rotate(2, Image.Resampling.BILINEAR),
}


def copies_found(entries: Sequence[Entry], thumbnails: Thumbnails, seed: int = 0) -> dict[str, float]:
    """Fraction of altered copies of some images that the thresholds count as near duplicates, by alteration."""
    random = np.random.default_rng(seed)
    chosen = random.choice(len(entries), min(SAMPLE, len(entries)), replace=False)
    hits = dict.fromkeys(ALTERED, 0)
    for index in chosen:
        image = picture(entries[index])
        own = scan_pixels(np.asarray(image), "")
        for name, alter in ALTERED.items():
            copy = scan_pixels(np.asarray(alter(image)), "")
            bits = int(np.bitwise_count(own.hashes[0] ^ copy.hashes[0]).sum())
            both = np.stack([own.thumbnail, copy.thumbnail])
            compared = Thumbnails(both, thumbnails.mean)
            correlation = compared.correlation(np.array([0]), np.array([1])).item()
            hits[name] += bits <= MAX_DISTANCE and correlation >= MIN_CORRELATION
    return {name: found / len(chosen) for name, found in hits.items()}


def picture(entry: Entry) -> Image.Image:
    """An entry's image, upright, in mode L or RGB."""
    pixels = decode_at_full_size(entry.image.read_bytes()) if isinstance(entry.image, Path) else entry.image
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def false_alarms(entries: Sequence[Entry], near: Sequence[Pair]) -> tuple[int, int] | None:
    """Near pairs of different patients, and all pairs of different patients. None if patients are unknown.

    An upper bound of false alarms: one person may be filed under two names.
    """
    patients = [entry.patient for entry in entries]
    if any(patient is None for patient in patients):
        return None
    _, sizes = np.unique(np.array(patients), return_counts=True)
    pairs = (len(patients) ** 2 - int((sizes.astype(np.int64) ** 2).sum())) // 2
    return sum(patients[pair.first] != patients[pair.second] for pair in near), pairs
