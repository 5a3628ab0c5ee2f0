"""Model list, cards, health, metrics, documentation and page."""

import json
import re
from pathlib import Path

import onnxruntime
from fastapi.testclient import TestClient

from models.card import Card
from tests.conftest import LABELS, ImageMaker


def test_model_list(client: TestClient) -> None:
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert list(models) == ["colour", "grey"]
    colour = models["colour"]
    assert (colour["version"], colour["versions"]) == ("2", ["1", "2"])
    assert colour["labels"] == LABELS
    assert colour["provider"] == "CPUExecutionProvider"
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


def test_health(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    response = client.get("/v2/health/ready")
    assert (response.status_code, response.json()) == (200, {"ready": True})


def test_not_ready_is_503(client: TestClient) -> None:
    client.app.state.service.ready = False  # type: ignore[attr-defined]
    response = client.get("/v2/health/ready")
    assert (response.status_code, response.json()) == (503, {"ready": False})
    assert client.get("/v2/health/live").status_code == 200


def test_metrics_are_prometheus(client: TestClient, make_image: ImageMaker) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    client.post("/v1/models/colour/predict", files=[("f", make_image()), ("f", make_image())])
    client.post("/v1/models/colour/predict", content=b"no image")
    client.post("/v1/models/none-such/predict", content=b"no image")
    families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    outcomes = {
        (s.labels["model"], s.labels["outcome"]): s.value
        for s in families["retina_requests"].samples
        if s.name.endswith("_total")
    }
    assert outcomes == {("colour", "ok"): 1, ("colour", "client_error"): 1, ("unknown", "client_error"): 1}
    images = {s.labels["model"]: s.value for s in families["retina_images"].samples if s.name.endswith("_total")}
    assert images["colour"] == 2
    info = {
        (s.labels["model"], s.labels["version"]): s.labels["provider"] for s in families["retina_model_info"].samples
    }
    assert info == dict.fromkeys((("colour", "1"), ("colour", "2"), ("grey", "1")), "CPUExecutionProvider")
    for stage in ("decode", "queue", "inference", "encode"):
        counts = [s.value for s in families[f"retina_{stage}_duration_seconds"].samples if s.name.endswith("_count")]
        assert sum(counts) > 0, stage


def test_openapi_describes_the_predict_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/models/{model}/predict"]["post"]
    content = {"application/octet-stream", "application/dicom", "image/*", "multipart/form-data"}
    assert set(operation["requestBody"]["content"]) == content
    assert set(operation["responses"]) >= {"200", "400", "404", "413", "415", "422", "503"}
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    from service.http.answers import PredictionAnswer

    assert PredictionAnswer.model_validate(example).predictions


def test_docs_come_from_this_server_alone(client: TestClient) -> None:
    page = client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    for source in sources:
        assert source.startswith("/"), source
        assert client.get(source).status_code == 200


def test_page_is_served_under_a_strict_policy(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "<script>" not in response.text
    for name in ("app.js", "style.css"):
        assert f"/static/{name}" in response.text
        assert client.get(f"/static/{name}").status_code == 200
    assert client.get("/static/../app.py").status_code == 404
