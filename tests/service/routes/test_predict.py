"""The predict route against ONNX Runtime run by hand on the same package."""

import io
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from models.card import Conformal, MeasuredCoverage
from models.package import read_card, write_card
from service.app import create_app
from service.http.answers import PredictionAnswer, PredictionSet
from service.settings import Settings
from tests.conftest import LABELS, ImageMaker

PREDICT = "/v1/models/colour/predict"


def by_hand(package: Path, image: bytes) -> list[NDArray[np.float32]]:
    """Preprocess with Pillow alone and run the package without any code of the service."""
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.BICUBIC)
    session = onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"image": np.asarray(square)[None]})
    return [np.asarray(output[0]) for output in outputs]


@pytest.fixture
def png(make_image: ImageMaker) -> bytes:
    return make_image("PNG", width=75, height=50)


def test_raw_body_gives_what_the_package_gives(client: TestClient, repository: Path, png: bytes) -> None:
    response = client.post(PREDICT, content=png, params={"activation_map": "true"})
    assert response.status_code == 200, response.text
    answer = PredictionAnswer.model_validate_json(response.content)
    probabilities, gates, maps = by_hand(repository / "colour" / "2" / "model.onnx", png)
    [prediction] = answer.predictions
    assert [p.label for p in prediction.probabilities] == LABELS
    np.testing.assert_allclose([p.probability for p in prediction.probabilities], probabilities, atol=1e-5)
    assert prediction.label == LABELS[int(np.argmax(probabilities))]
    assert prediction.probability == pytest.approx(float(probabilities.max()), abs=1e-5)
    assert prediction.recalibration_weights is not None
    flat = np.concatenate([np.asarray(weights) for weights in prediction.recalibration_weights.values()])
    np.testing.assert_allclose(flat, gates, atol=1e-5)
    assert prediction.class_activation is not None
    np.testing.assert_allclose(prediction.class_activation.maps, maps, atol=1e-4)
    assert answer.model.version == "2"
    assert "not a medical device" in answer.notice


def test_gates_are_named_by_block_and_differ_between_images(client: TestClient, make_image: ImageMaker) -> None:
    first, second = (
        client.post(PREDICT, content=make_image(seed=seed)).json()["predictions"][0]["recalibration_weights"]
        for seed in (1, 2)
    )
    assert list(first) == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
    assert [len(weights) for weights in first.values()] == [8] * 3 + [16] * 3 + [32] * 3
    assert any(abs(a - b) > 1e-3 for block in first for a, b in zip(first[block], second[block], strict=True))


def test_version_in_the_path_chooses_the_version(client: TestClient, repository: Path, png: bytes) -> None:
    for version in ("1", "2"):
        answer = client.post(f"/v1/models/colour/versions/{version}/predict", content=png).json()
        expected = by_hand(repository / "colour" / version / "model.onnx", png)[0]
        got = [p["probability"] for p in answer["predictions"][0]["probabilities"]]
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_several_files_are_answered_in_their_order(client: TestClient, make_image: ImageMaker) -> None:
    images = [make_image("PNG", seed=seed) for seed in range(5)]
    alone = [client.post(PREDICT, content=image).json()["predictions"][0]["probabilities"] for image in images]
    files = [("file", (f"{index}.png", image, "image/png")) for index, image in enumerate(images)]
    together = client.post(PREDICT, files=files).json()["predictions"]
    assert [prediction["file"] for prediction in together] == [f"{index}.png" for index in range(5)]
    for prediction, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            [p["probability"] for p in prediction["probabilities"]], [p["probability"] for p in expected], atol=1e-5
        )


def test_weights_summary_and_none(client: TestClient, png: bytes) -> None:
    full = client.post(PREDICT, content=png).json()["predictions"][0]
    short = client.post(PREDICT, content=png, params={"weights": "summary"}).json()["predictions"][0]
    none = client.post(PREDICT, content=png, params={"weights": "none"}).json()["predictions"][0]
    assert none["recalibration_weights"] is None
    assert none["class_activation"] is None
    for block, weights in full["recalibration_weights"].items():
        summary = short["recalibration_weights"][block]
        assert summary["mean"] == pytest.approx(np.mean(weights), abs=1e-6)
        assert summary["std"] == pytest.approx(np.std(weights), abs=1e-6)
        assert (summary["min"], summary["max"]) == (min(weights), max(weights))
        assert summary["highest"][0] == {"channel": int(np.argmax(weights)), "weight": max(weights)}
        assert summary["lowest"][0]["weight"] == min(weights)
        assert len(summary["lowest"]) == 3


def test_a_grey_model_takes_colour_images(client: TestClient, png: bytes) -> None:
    answer = client.post("/v1/models/grey/predict", content=png).json()
    assert sum(p["probability"] for p in answer["predictions"][0]["probabilities"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "application/octet-stream", None])
def test_content_types_of_images_are_taken(client: TestClient, make_image: ImageMaker, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert client.post(PREDICT, content=make_image(), headers=headers).status_code == 200


def test_prediction_set_is_null_without_one_on_the_card(client: TestClient, png: bytes) -> None:
    assert client.post(PREDICT, content=png).json()["predictions"][0]["prediction_set"] is None


def test_prediction_set_is_what_the_card_lets_in(repository: Path, tmp_path: Path, png: bytes) -> None:
    source = repository / "colour" / "2" / "model.onnx"
    probabilities = by_hand(source, png)[0]
    order = probabilities.argsort()[::-1]
    between = float(probabilities[order[1:]].mean())  # the second label is in, the third is out
    measured = MeasuredCoverage(
        data="made up", split="test", images=10, coverage=0.9, interval=None, by_label={}, mean_set_size=1.5
    )
    conformal = Conformal(
        method="lac",
        coverage=0.9,
        thresholds=[between] * 3,
        calibrated_on="made up",
        guarantee="none",
        measured=measured,
    )
    package = tmp_path / "colour" / "1" / "model.onnx"
    package.parent.mkdir(parents=True)
    shutil.copy(source, package)
    card = read_card(onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]))
    write_card(package, card.model_copy(update={"conformal": conformal, "version": "1"}))
    settings = Settings(model_repository=tmp_path, provider="cpu", threads=1)
    with TestClient(create_app(settings)) as client:
        answer = PredictionAnswer.model_validate_json(client.post(PREDICT, content=png).content)
    [prediction] = answer.predictions
    assert prediction.prediction_set is not None
    assert prediction.prediction_set.coverage == 0.9
    assert prediction.prediction_set.labels == [LABELS[label] for label in order[:2]]


def test_prediction_set_is_documented(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schema["PredictionSet"]["properties"]) == {"coverage", "labels"}
    [example] = schema["Prediction"]["properties"]["prediction_set"]["examples"]
    PredictionSet.model_validate(example)


def test_openapi_describes_the_predict_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/models/{model}/predict"]["post"]
    content = {"application/octet-stream", "application/dicom", "image/*", "multipart/form-data"}
    assert set(operation["requestBody"]["content"]) == content
    assert set(operation["responses"]) >= {"200", "400", "404", "413", "415", "422", "503"}
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    from service.http.answers import PredictionAnswer

    assert PredictionAnswer.model_validate(example).predictions
