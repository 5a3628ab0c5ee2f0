"""The files that others misread, by value: as the service decodes them, and as training reads them."""

from pathlib import Path

import numpy as np
import pytest

from models.preprocessing import preprocess
from tests.models.preprocessing.corpus import misread_files
from tests.models.preprocessing.image_files import spec_for

FILES = misread_files()


@pytest.mark.parametrize("name", FILES)
def test_the_values_are_right(name: str, tmp_path: Path) -> None:
    data, wanted = FILES[name]
    spec = spec_for(wanted.shape[0], wanted.shape[1], channels=1 if wanted.ndim == 2 else 3)
    shown = preprocess(data, spec).pixels
    assert np.abs(shown.reshape(wanted.shape) - wanted).max() <= 0.501
    decoding = pytest.importorskip("training.data.decoding")
    path = tmp_path / name
    path.write_bytes(data)
    assert np.array_equal(decoding.network_input(path, spec), shown)
