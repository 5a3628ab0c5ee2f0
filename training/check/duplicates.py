"""Duplicate images: the same pixels, or nearly the same.

Retinal images all look alike to a perceptual hash: at the usual threshold of a 64-bit pHash, 10 bits, 5,829 pairs of
different patients match among 1,330 fundus photographs. So a pair counts as near duplicates only if a 256-bit pHash
agrees *and* the thumbnails still correlate after the mean thumbnail of the data set is subtracted.
``docs/data-check.md`` has the false alarms and the copies found by which the two thresholds were chosen.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.check.scan import Scan

MAX_DISTANCE = 32
"""Bits of 256 in which the hashes of near duplicates may differ."""
MIN_CORRELATION = 0.95
"""Least correlation of their thumbnails, without the mean thumbnail."""
MIN_CORRELATION_TURNED = 0.98
"""The same for mirrored and turned copies.

It is higher, because these give three times as many chances of a false alarm.
"""
ENOUGH_FOR_MEAN = 50
"""Least number of images for a mean thumbnail. With fewer, the mean would mostly be the images themselves."""
VIEWS = ("as it is", "mirrored", "upside down", "turned by 180 degrees")
ROWS, COLUMNS = 64, 16384  # a tile of the comparison fits into the CPU cache


class Pair(NamedTuple):
    """Two images, by index, that are nearly the same."""

    first: int
    second: int
    distance: int
    """Bits of 256."""
    correlation: float
    view: int
    """How the first must be turned to look like the second: index in :data:`VIEWS`."""


def exact_duplicates(scans: Sequence[Scan]) -> list[list[int]]:
    """Groups of images with the same size and pixels."""
    groups = defaultdict(list)
    for index, scan in enumerate(scans):
        groups[scan.digest].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(scans: Sequence[Scan]) -> list[Pair]:
    """Pairs that are nearly the same, also mirrored or turned, without exact duplicates."""
    hashes = np.stack([scan.hashes for scan in scans]).view(np.uint64)
    thumbnails = Thumbnails(np.stack([scan.thumbnail for scan in scans]))
    _, content = np.unique([scan.digest.hex() for scan in scans], return_inverse=True)
    best: dict[tuple[int, int], Pair] = {}
    for view in range(len(VIEWS)):
        for first, second, bits in close_pairs(hashes[:, view], hashes[:, 0], MAX_DISTANCE):
            correlation = thumbnails.correlation(first, second, view)
            least = MIN_CORRELATION_TURNED if view else MIN_CORRELATION
            for index in np.flatnonzero((correlation >= least) & (content[first] != content[second])):
                pair = Pair(int(first[index]), int(second[index]), int(bits[index]), float(correlation[index]), view)
                known = best.setdefault(pair[:2], pair)
                if pair.distance < known.distance:
                    best[pair[:2]] = pair
    return sorted(best.values(), key=lambda pair: (pair.distance, -pair.correlation))


Indices = NDArray[np.int64]


def close_pairs(
    queries: NDArray[np.uint64], hashes: NDArray[np.uint64], limit: int
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield i, j and bits, many at a time, for i < j where query i and hash j differ in at most ``limit`` bits.

    Queries and hashes are rows of 256 bits, (N, 4). All pairs are compared, a tile at a time, and the second half of
    the bits only where the first half allows: 4 s for 30,000 images on one core, 50 s for 100,000.
    """
    words = np.ascontiguousarray(hashes.T)
    for top in range(0, len(queries), ROWS):
        rows = queries[top : top + ROWS, :, None]
        for left in range(top + 1, len(hashes), COLUMNS):
            tile = words[:, None, left : left + COLUMNS]
            half = np.bitwise_count(rows[:, 0] ^ tile[0]) + np.bitwise_count(rows[:, 1] ^ tile[1])
            row, column = np.nonzero(half <= limit)
            first, second = row + top, column + left
            bits = np.bitwise_count(queries[first] ^ hashes[second]).sum(axis=1, dtype=np.int64)
            close = (bits <= limit) & (first < second)
            if close.any():
                yield first[close], second[close], bits[close]


class Thumbnails:
    """Thumbnails (N, 32, 32) to be compared without their mean, brightness and contrast."""

    def __init__(self, images: NDArray[np.uint8], mean: NDArray[np.float64] | None = None) -> None:
        self.images = images
        self.mean = self.measured_mean() if mean is None else mean

    def measured_mean(self) -> NDArray[np.float64]:
        """Mean of the standardised thumbnails (1024,). Zeros if there are too few images."""
        images = self.images
        total = np.zeros(images.shape[1] * images.shape[2])
        for start in range(0, len(images), 4096):
            total += standardised(images[start : start + 4096]).sum(axis=0)
        return total / len(images) if len(images) >= ENOUGH_FOR_MEAN else np.zeros_like(total)

    def residuals(self, chosen: Indices, view: int = 0) -> NDArray[np.float32]:
        """Unit vectors (n, 1024): the thumbnails minus the mean thumbnail. Zeros for a blank image."""
        images = self.images[chosen]
        shown = images.reshape(len(images), -1).std(axis=1, keepdims=True) > 0
        if view in (1, 3):
            images = images[:, :, ::-1]
        if view in (2, 3):
            images = images[:, ::-1]
        return unit((standardised(images) - self.mean) * shown)

    def correlation(self, first: Indices, second: Indices, view: int = 0) -> NDArray[np.float32]:
        """Correlation (n,) of each first image, turned, with its second."""
        return np.concatenate(
            [
                (self.residuals(first[part], view) * self.residuals(second[part])).sum(axis=1)
                for part in (slice(start, start + 4096) for start in range(0, len(first), 4096))
            ]
        )


def standardised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = images.reshape(len(images), -1).astype(np.float32)
    return unit(flat - flat.mean(axis=1, keepdims=True))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.where(norm > 1e-6, vectors / np.maximum(norm, 1e-6), 0), dtype=np.float32)
