"""Exact and near duplicates: planted copies are found, others are not, and the search misses no pair."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.spatial.distance import pdist

from tests.training.check.pictures import picture, scans
from training.check import duplicates
from training.check.duplicates import VIEWS, Thumbnails, close_pairs, exact_duplicates, near_duplicates


def recompressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    return Image.open(stream)


OTHERS = [picture(seed) for seed in range(60)]


@pytest.mark.parametrize(
    ("altered", "view"),
    [
        (recompressed, 0),
        (lambda image: image.resize((40, 40)), 0),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.9), 0),
        (lambda image: recompressed(ImageOps.mirror(image)), 1),
        (lambda image: recompressed(ImageOps.flip(image)), 2),
        (lambda image: recompressed(image.rotate(180)), 3),
    ],
    ids=["recompressed", "resized", "darkened", "mirrored", "flipped", "turned"],
)
def test_an_altered_copy_is_the_one_near_duplicate(altered, view) -> None:
    (pair,) = near_duplicates(scans([*OTHERS, altered(OTHERS[7])]))
    assert (pair.first, pair.second, VIEWS[pair.view]) == (7, 60, VIEWS[view])
    assert exact_duplicates(scans([*OTHERS, altered(OTHERS[7])])) == []


def test_exact_ones_are_grouped_and_are_not_near_ones() -> None:
    found = scans([*OTHERS, OTHERS[3], OTHERS[5], OTHERS[3]])
    assert sorted(exact_duplicates(found)) == [[3, 60, 62], [5, 61]]
    assert near_duplicates(found) == []


def test_blank_images_are_no_near_duplicates() -> None:
    blank = [Image.new("L", (48, 48), level) for level in (0, 90, 200)]
    assert near_duplicates(scans([*OTHERS, *blank])) == []


@pytest.mark.parametrize(("rows", "columns"), [(64, 16384), (3, 5)])
def test_no_close_pair_is_missed(monkeypatch: pytest.MonkeyPatch, rows: int, columns: int) -> None:
    monkeypatch.setattr(duplicates, "ROWS", rows)
    monkeypatch.setattr(duplicates, "COLUMNS", columns)
    random = np.random.default_rng(0)
    bits = random.random((40, 256)) < 0.5
    bits[20:] = bits[:20] ^ (random.random((20, 256)) < 0.12)  # about 31 of 256 bits
    bits[39] = ~bits[0]  # all 256
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    distance = np.rint(pdist(bits, "hamming") * 256).astype(int)
    first, second = np.triu_indices(40, 1)
    expected = {
        (i, j, d) for i, j, d in zip(first.tolist(), second.tolist(), distance.tolist(), strict=True) if d <= 32
    }
    found = [tuple(map(int, pair)) for tile in close_pairs(hashes, hashes, 32) for pair in zip(*tile, strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert 5 < len(expected) < 20


def test_correlation_is_numpys_after_the_mean_is_taken_away() -> None:
    images = np.stack([scan.thumbnail for scan in scans(OTHERS)])
    flat = images.reshape(60, -1).astype(float)
    flat = (flat - flat.mean(axis=1, keepdims=True)) / flat.std(axis=1, keepdims=True)
    rest = flat - flat.mean(axis=0)
    expected = [np.corrcoef(rest[i], rest[j])[0, 1] for i, j in ((0, 1), (4, 9))]
    assert Thumbnails(images).correlation(np.array([0, 4]), np.array([1, 9])) == pytest.approx(expected, abs=1e-5)
