"""Decoding on several CPUs keeps the order, and an array that needs no change is told from one that does."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.card import InputSpec
from models.preprocessing import fit, preprocess
from tests.training.tiny_data import write_tree
from training.data.decoding import decode_all, is_input

SPEC = InputSpec(height=8, width=8, channels=1)


def test_every_cpu_that_may_be_used_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / file for file in write_tree(tmp_path, {"a": 9})]
    together = threading.Barrier(3)

    def waiting(data: bytes, spec: InputSpec) -> Any:
        together.wait(timeout=20)  # for three decodings at once
        return preprocess(data, spec)

    monkeypatch.setattr("training.data.decoding.usable_cpus", lambda: 3)
    monkeypatch.setattr("training.data.decoding.preprocess", waiting)
    decoded = list(decode_all(files, SPEC))
    for file, pixels in zip(files, decoded, strict=True):
        np.testing.assert_array_equal(pixels, preprocess(file.read_bytes(), SPEC).pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("changes", "shape", "same"),
    [
        ({}, (8, 8, 3), True),
        ({"height": 6, "crop": "none"}, (6, 8, 3), True),
        ({"height": 6}, (6, 8, 3), False),  # the centre square is cut from it
        ({"content": "b-scan"}, (8, 8, 3), False),
        ({"channels": 1}, (8, 8, 3), False),
        ({"height": 9}, (8, 8, 3), False),
    ],
)
def test_an_array_that_is_the_input(changes: dict[str, Any], shape: tuple[int, ...], same: bool) -> None:
    spec = InputSpec.model_validate({"height": 8, "width": 8, "channels": 3} | changes)
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert is_input(array, spec) == same
    if same:
        np.testing.assert_array_equal(fit(Image.fromarray(array), spec), array)
