"""The crop that an answer gives, and that the model saw no more than that."""

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from models.package import write_card
from service.app import create_app
from service.http.answers import Prediction, PredictionAnswer
from service.settings import Settings
from tests.conftest import tiny_card
from tests.models.preprocessing.image_files import Pixels, encode, noise


def answered(client: TestClient, picture: Pixels) -> Prediction:
    response = client.post("/v1/models/grey/predict", content=encode(picture, "PNG"))
    assert response.status_code == 200, response.text
    [prediction] = PredictionAnswer.model_validate_json(response.content).predictions
    return prediction


def probabilities(prediction: Prediction) -> list[float]:
    return [entry.probability for entry in prediction.probabilities]


SCAN = noise(60, 100)
FRAMED = np.pad(SCAN, ((20, 30), (40, 10)), constant_values=255)


def test_the_borders_of_a_b_scan(folder: Path, settings: Settings) -> None:
    package = folder / "grey" / "1" / "model.onnx"
    card = tiny_card("grey", "1", of="grey")
    write_card(package, card.model_copy(update={"input": card.input.model_copy(update={"content": "b-scan"})}))
    with TestClient(create_app(settings.model_copy(update={"model_repository": folder}))) as client:
        framed, plain = answered(client, FRAMED), answered(client, SCAN)
    assert (framed.image.width, framed.image.height) == (150, 110)
    assert framed.image.crop.model_dump() == {"left": 60, "top": 20, "width": 60, "height": 60}
    assert plain.image.crop.model_dump() == {"left": 20, "top": 0, "width": 60, "height": 60}
    assert probabilities(framed) == pytest.approx(probabilities(plain), abs=1e-6)


def test_without_a_rule_the_centre_square(client: TestClient) -> None:
    framed = answered(client, FRAMED)
    assert framed.image.crop.model_dump() == {"left": 20, "top": 0, "width": 110, "height": 110}
    assert probabilities(framed) != pytest.approx(probabilities(answered(client, SCAN)), abs=1e-4)
