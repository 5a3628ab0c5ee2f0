"""An application that asks for keys, and an OpenID provider on a real port."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import SHIPPED_REPOSITORY
from tests.service.security.credentials import MODEL, Provider


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one shipped model, which needs no training to make."""
    folder = tmp_path_factory.mktemp("models")
    (folder / MODEL).symlink_to(SHIPPED_REPOSITORY / MODEL)
    return folder


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        thread.join()
        provider.server.server_close()
