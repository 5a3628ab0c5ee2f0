"""An empty cache, files to decode, and a count of what is decoded."""

from pathlib import Path

import pytest

from tests.training.data.cache.decodings import Decodings
from tests.training.tiny_data import write_tree
from training.datasets import Item


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETINA_TRAINING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decodings(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decodings:
    counting = Decodings(tmp_path / "decodings")
    monkeypatch.setattr("training.data.decoding.preprocess", counting)
    return counting


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    """Nine files that differ."""
    files = write_tree(tmp_path / "scans", {"a": 5, "b": 4}, size=(20, 14))
    return [Item(tmp_path / "scans" / file, number, file, file) for number, file in enumerate(files)]
