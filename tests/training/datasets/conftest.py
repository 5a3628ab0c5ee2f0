"""Trees of folders for the tests of data sets."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny_data import write_manifest, write_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """120 images of three classes, none with a patient."""
    write_tree(tmp_path / "scans", {"normal": 60, "drusen": 20, "cnv": 40})
    return tmp_path / "scans"


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """150 patients with 1 to 4 images each and two classes at 2 to 1; a few patients have images of both."""
    root, random = tmp_path / "clinic", np.random.default_rng(0)
    files = write_tree(root, {"glaucoma": 160, "normal": 320}, size=(4, 4))
    rows: list[dict[str, object]] = []
    patient, left = 0, 0
    for file in files:
        if left == 0:
            patient, left = patient + 1, int(random.integers(1, 5))
        left -= 1
        rows.append({"file": file, "patient": f"P{patient:04}"})
    write_manifest(root, rows)
    return root
