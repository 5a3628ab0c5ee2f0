"""The list of models and their cards."""

import json
from pathlib import Path

import onnxruntime
from fastapi.testclient import TestClient

from models.card import Card
from tests.conftest import LABELS


def test_model_list(client: TestClient) -> None:
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert list(models) == ["colour", "grey"]
    colour = models["colour"]
    assert (colour["version"], colour["versions"]) == ("2", ["1", "2"])
    assert colour["labels"] == LABELS
    assert colour["provider"] == "CPUExecutionProvider"
    assert list(colour["nodes"]) == ["CPUExecutionProvider"]
    assert colour["nodes"]["CPUExecutionProvider"] > 20
    assert colour["input"]["channels"] == 3
    assert models["grey"]["input"]["channels"] == 1


def test_card_is_the_one_in_the_file(client: TestClient, repository: Path) -> None:
    for version in ("1", "2"):
        session = onnxruntime.InferenceSession(repository / "colour" / version / "model.onnx")
        in_file = json.loads(session.get_modelmeta().custom_metadata_map["card"])
        assert client.get(f"/v1/models/colour/versions/{version}/card").json() == in_file
    default = Card.model_validate(client.get("/v1/models/colour/card").json())
    assert default.version == "2"


def test_digest_is_the_files(client: TestClient, repository: Path) -> None:
    import hashlib

    listed = {model["name"]: model["digest"] for model in client.get("/v1/models").json()["models"]}
    content = (repository / "colour" / "2" / "model.onnx").read_bytes()
    assert listed["colour"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
