"""Whether look-alikes were kept together: known for made-up patients, and for RetinaMNIST."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from tests.training.check.pictures import picture, scans
from training.check.duplicates import Thumbnails, near_duplicates
from training.check.neighbours import Kinship, kinship, nearest
from training.check.scan import Scan, scan
from training.check.source import read_source

PATIENTS, IMAGES = 40, 3


@pytest.fixture(scope="module")
def found() -> list[Scan]:
    """Three images of each patient, which look alike but for some noise and brightness."""
    random = np.random.default_rng(0)
    images = []
    for patient in range(PATIENTS):
        pixels = np.asarray(picture(patient)).astype(int)
        for _ in range(IMAGES):
            altered = 0.8 * pixels + random.integers(0, 30) + random.normal(0, 3, pixels.shape)
            images.append(Image.fromarray(altered.clip(0, 255).astype(np.uint8)))
    return scans(images)


def related(found: list[Scan], held_out: np.ndarray) -> Kinship:
    splits = np.where(held_out, "val", "train").tolist()
    thumbnails = Thumbnails(np.stack([scan.thumbnail for scan in found]))
    result = kinship(splits, thumbnails, near_duplicates(found), "val")
    assert result is not None
    return result


def test_a_split_by_patient_keeps_look_alikes_together(found: list[Scan]) -> None:
    result = related(found, np.repeat(np.arange(PATIENTS) % 5 == 0, IMAGES))
    assert result.own == 1
    assert (result.near_across, result.near_inside) == (0, PATIENTS * 3)
    assert result.p_value < 0.001
    # Drawn one by one, 24 of 120: a neighbour is inside with 23 / 119, a pair crosses with 2 x 24 x 96 / (120 x 119).
    assert result.own_by_chance[0] == pytest.approx(23 / 119, abs=0.01)
    assert result.near_across_by_chance[0] == pytest.approx(PATIENTS * 3 * 2 * 24 * 96 / (120 * 119), rel=0.02)


def test_a_split_by_image_does_not(found: list[Scan]) -> None:
    result = related(found, np.random.default_rng(1).permutation(120) < 24)
    assert result.own_by_chance[1] <= result.own <= result.own_by_chance[2]
    assert result.near_across_by_chance[1] <= result.near_across <= result.near_across_by_chance[2]
    assert result.p_value > 0.01


def test_neighbours_are_scikit_learns(found: list[Scan]) -> None:
    thumbnails = Thumbnails(np.stack([scan.thumbnail for scan in found]))
    pool = np.arange(10, 110)
    vectors = thumbnails.residuals(pool)
    expected = NearestNeighbors(n_neighbors=2).fit(vectors).kneighbors(vectors, return_distance=False)[:, 1]
    np.testing.assert_array_equal(nearest(thumbnails, pool, np.arange(100)), expected)


def test_without_the_split_there_is_nothing_to_compare(found: list[Scan]) -> None:
    thumbnails = Thumbnails(np.stack([scan.thumbnail for scan in found]))
    assert kinship([None] * len(found), thumbnails, [], "val") is None
    assert kinship(["val"] * len(found), thumbnails, [], "val") is None


def test_retinamnists_validation_split_was_not_drawn_image_by_image(shared_data: Path) -> None:
    entries = [e for e in read_source(shared_data / "retinamnist" / "retinamnist.npz").entries if e.split != "test"]
    found = [result for result in scan(entries) if isinstance(result, Scan)]
    near = near_duplicates(found)
    result = kinship([e.split for e in entries], Thumbnails(np.stack([s.thumbnail for s in found])), near, "val")
    assert result is not None
    assert result.own > result.own_by_chance[2]
    assert result.near_across == 0
    assert result.near_across_by_chance[0] > 3
