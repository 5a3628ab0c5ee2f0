"""A service over a folder whose packages change, and what it serves at the moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from service.state import State
from tests.service.packages import biased, edited

KEY = {"Authorization": "Bearer the-key"}
PREDICT = "/v1/models/colour/predict"


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[TestClient]:
    chosen: dict[str, Any] = {"model_repository": folder, "provider": "cpu", "threads": 1, "admin_key": "the-key"}
    with TestClient(create_app(Settings(**chosen | settings)), raise_server_exceptions=False) as client:
        yield client


def state(client: TestClient) -> State:
    return client.app.state.service  # type: ignore[attr-defined]


def look(client: TestClient, times: int = 2) -> None:
    """Look at the folder; what is new is taken in at the second look that finds it unchanged."""
    for _ in range(times):
        client.portal.call(state(client).lifecycle.poll)  # type: ignore[union-attr]


def index(client: TestClient) -> dict[tuple[str, str], tuple[str, str]]:
    entries = client.post("/v2/repository/index", headers=KEY).json()
    return {(entry["name"], entry["version"]): (entry["state"], entry["reason"]) for entry in entries}


def versions(client: TestClient, name: str = "colour") -> list[str]:
    listed = {model["name"]: model["versions"] for model in client.get("/v1/models").json()["models"]}
    return listed.get(name, [])


def answered_by(client: TestClient, image: bytes) -> str:
    return client.post(PREDICT, content=image).json()["model"]["digest"]


def variant(folder: Path, shift: float) -> bytes:
    return edited(folder / "colour" / "1" / "model.onnx", biased([shift, 0, 0]))
