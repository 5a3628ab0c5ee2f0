"""An application on the tiny repository, and a client that speaks to it in process."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from service.app import create_app
from service.settings import Settings
from tests.service.packages import copy_model


@pytest.fixture
def settings(repository: Path) -> Settings:
    return Settings(model_repository=repository, provider="cpu", threads=1)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A repository of its own: ``colour`` 1 and ``grey`` 1."""
    copy_model(repository, "colour", "1", tmp_path)
    copy_model(repository, "grey", "1", tmp_path)
    return tmp_path


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """Three colour images of the tiny models' size."""
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
