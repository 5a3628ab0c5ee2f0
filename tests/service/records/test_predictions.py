"""Records and feedback over HTTP, with both databases."""

import hashlib
import json
import logging
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from service.app import create_app
from service.client import Client, ServiceError
from service.records.errors import RecordsError
from service.records.messages import FeedbackRequest, PredictionRecord
from service.settings import Settings
from tests.conftest import LABELS, ImageMaker
from tests.models.preprocessing.dicom_files import dicom

ROOT = Path(__file__).resolve().parents[3]
PREDICT = "/v1/models/colour/predict"


@pytest.fixture
def kept(settings: Settings, address: str) -> Settings:
    return settings.model_copy(update={"records": "required", "records_url": SecretStr(address)})


@pytest.fixture
def client(kept: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(kept), raise_server_exceptions=False) as client:
        yield client


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_each_image_of_an_answer_has_its_record(client: TestClient, make_image: ImageMaker) -> None:
    images = [make_image("PNG", seed=seed) for seed in range(3)]
    files = [("file", (f"Doe^Jane-{index}.png", image, "image/png")) for index, image in enumerate(images)]
    answer = client.post(PREDICT, files=files, headers={"X-Request-ID": "Doe.Jane"}).json()
    assert len({prediction["record_id"] for prediction in answer["predictions"]}) == 3
    for image, prediction in zip(images, answer["predictions"], strict=True):
        assert uuid.UUID(prediction["record_id"]).version == 7
        response = client.get(f"/v1/predictions/{prediction['record_id']}")
        assert response.status_code == 200, response.text
        record = response.json()
        assert record["id"] == prediction["record_id"]
        assert record["input_digest"] == sha256(image)
        assert record["probabilities"] == prediction["probabilities"]
        assert (record["label"], record["frame"], record["feedback"]) == (prediction["label"], 1, [])
        assert record["model"] == answer["model"]
        assert "Doe" not in response.text


def test_the_protocol_s_answers_name_theirs(client: TestClient, make_image: ImageMaker) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    tensor = {"name": "image", "shape": pixels.shape, "datatype": "UINT8", "data": pixels.ravel().tolist()}
    answer = client.post("/v2/models/colour/infer", json={"inputs": [tensor], "id": "mine"}).json()
    assert answer["id"] == "mine"
    ids = answer["parameters"]["record_ids"].split(",")
    [values] = [output["data"] for output in answer["outputs"] if output["name"] == "probabilities"]
    for index, record_id in enumerate(ids):
        record = client.get(f"/v1/predictions/{record_id}").json()
        assert record["input_digest"] == sha256(pixels[index].tobytes())
        given = [entry["probability"] for entry in record["probabilities"]]
        assert given == pytest.approx(values[3 * index : 3 * index + 3])
    image = make_image()
    raw = client.post("/v2/models/colour/infer", content=image, headers={"Inference-Header-Content-Length": "0"})
    head = json.loads(raw.content[: int(raw.headers["Inference-Header-Content-Length"])])
    record = client.get(f"/v1/predictions/{head['parameters']['record_ids']}").json()
    assert record["input_digest"] == sha256(image)


def test_a_structured_report_names_its_record_in_a_header(client: TestClient) -> None:
    file = dicom(np.zeros((40, 40, 3), np.uint8), PatientName="Doe^Jane")
    response = client.post(PREDICT, content=file, params={"format": "dicom-sr"})
    assert response.status_code == 200, response.text
    record = client.get(f"/v1/predictions/{response.headers['X-Record-ID']}")
    assert record.json()["input_digest"] == sha256(file)
    assert "Doe" not in record.text


def test_feedback_and_its_correction(client: TestClient, make_image: ImageMaker) -> None:
    record_id = client.post(PREDICT, content=make_image()).json()["predictions"][0]["record_id"]
    for index, label in enumerate(LABELS[:2]):
        response = client.post(f"/v1/predictions/{record_id}/feedback", json={"labels": [label]})
        assert response.status_code == 201, response.text
        assert [entry["labels"] for entry in response.json()["feedback"]] == [[told] for told in LABELS[: index + 1]]
    assert client.get(f"/v1/predictions/{record_id}").json() == response.json()


MISFITS: list[tuple[dict[str, object], str]] = [
    ({"labels": ["glaucom"]}, "not one of the model's: colour has normal, glaucoma, cataract"),
    ({"labels": []}, "one label for colour, and 0 came"),
    ({"labels": ["normal", "glaucoma"]}, "one label for colour, and 2 came"),
    ({"labels": ["normal", "normal"]}, "named twice"),
    ({"labels": "normal"}, "labels must be an array"),
    ({"labels": ["normal"], "comment": "Jane Doe"}, "comment is not known"),
    ({}, "labels is missing"),
]


def test_feedback_that_does_not_fit(
    client: TestClient, make_image: ImageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    record_id = client.post(PREDICT, content=make_image()).json()["predictions"][0]["record_id"]
    for body, words in MISFITS:
        response = client.post(f"/v1/predictions/{record_id}/feedback", json=body)
        assert response.status_code == 422
        assert words in response.json()["detail"]
        assert "Jane" not in response.text + caplog.text
    assert client.get(f"/v1/predictions/{record_id}").json()["feedback"] == []


def test_unknown_records(client: TestClient) -> None:
    somebody = uuid.uuid4()
    assert client.get(f"/v1/predictions/{somebody}").status_code == 404
    response = client.post(f"/v1/predictions/{somebody}/feedback", json={"labels": ["normal"]})
    assert response.json()["type"] == "urn:retina-srm:problem:unknown-record"
    assert client.get("/v1/predictions/17").status_code == 422


def test_the_typed_client(client: TestClient, make_image: ImageMaker) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        given = client.request(
            request.method, request.url.raw_path.decode(), content=request.content, headers=request.headers
        )
        return httpx.Response(given.status_code, content=given.content, headers={"Content-Type": "application/json"})

    with Client("http://service", transport=httpx.MockTransport(handle)) as typed:
        [prediction] = typed.predict("colour", make_image()).predictions
        assert prediction.record_id is not None
        assert typed.feedback(prediction.record_id, ["cataract"]).feedback[0].labels == ["cataract"]
        record = typed.prediction(str(prediction.record_id))
        assert (record.label, len(record.feedback)) == (prediction.label, 1)
        with pytest.raises(ServiceError, match="not one of the model's"):
            typed.feedback(record.id, ["drusen"])
        with pytest.raises(TypeError, match=r"labels must be a list, such as \['normal'\]"):
            typed.feedback(record.id, "normal")


def test_a_database_that_fails(kept: Settings, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.records.errors import UnavailableError
    from service.records.store import Store

    def fail(*_: object) -> None:
        raise UnavailableError("gone")

    for mode, status in (("required", 503), ("on", 200)):
        with (
            TestClient(create_app(kept.model_copy(update={"records": mode}))) as client,
            monkeypatch.context() as patch,
        ):
            patch.setattr(Store, "write", fail)
            response = client.post(PREDICT, content=make_image())
            assert response.status_code == status, response.text
            if status == 503:
                assert response.json()["type"] == "urn:retina-srm:problem:records-unavailable"
                assert response.headers["Retry-After"] == "1"
                assert client.get(f"/v1/predictions/{uuid.uuid4()}").status_code == 503
            else:
                patch.undo()
                record_id = response.json()["predictions"][0]["record_id"]
                found = [client.get(f"/v1/predictions/{record_id}").status_code for _ in range(2)]
                assert found[-1] == 200  # the record outlived the outage


def test_a_server_that_is_away_at_the_start(kept: Settings, make_image: ImageMaker, address: str) -> None:
    if address.startswith("sqlite"):
        pytest.skip("a file is there or is made")
    away = kept.model_copy(update={"records_url": SecretStr("postgresql://user:secret@127.0.0.1:1/records")})
    with pytest.raises(RecordsError, match=r"can't be reached, and RETINA_RECORDS=required") as caught:
        create_app(away)
    assert "secret" not in str(caught.value)
    with TestClient(create_app(away.model_copy(update={"records": "on"}))) as client:
        assert client.post(PREDICT, content=make_image()).status_code == 200


def test_off_keeps_nothing_and_imports_nothing(repository: Path, make_image: ImageMaker, tmp_path: Path) -> None:
    image = tmp_path / "eye.jpg"
    image.write_bytes(make_image())
    code = f"""
import sys
from pathlib import Path
from fastapi.testclient import TestClient
from service.app import create_app
from service.settings import Settings
import service.__main__
with TestClient(create_app(Settings(model_repository={str(repository)!r}, provider="cpu", threads=1))) as client:
    answer = client.post({PREDICT!r}, content=Path({str(image)!r}).read_bytes()).json()
    assert answer["predictions"][0]["record_id"] is None, answer
    response = client.get("/v1/predictions/019ab2f4-6c31-7d52-9a44-2f7f0c6f5e10")
    assert response.status_code == 404 and "records-off" in response.text
print(sorted({{"sqlalchemy", "alembic", "psycopg"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_documentation_s_examples_fit(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    PredictionRecord.model_validate(document["components"]["schemas"]["PredictionRecord"]["examples"][0])
    path = document["paths"]["/v1/predictions/{id}/feedback"]["post"]
    FeedbackRequest.model_validate(path["requestBody"]["content"]["application/json"]["example"])
    assert re.search("To correct", path["description"])
