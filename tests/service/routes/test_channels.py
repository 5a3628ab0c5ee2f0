"""The address of a channel: its answer, and what is refused."""

import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from tests.service.problems import problem


@pytest.fixture
def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels[0]).save(stream, "PNG")
    return stream.getvalue()


def test_answers_with_the_gate_of_the_prediction_and_the_change_of_the_logits(client: TestClient, png: bytes) -> None:
    answer = client.post("/v1/models/colour/predict", content=png).json()
    [prediction], version = answer["predictions"], answer["model"]["version"]
    block = next(iter(prediction["recalibration_weights"]))
    for address in (
        f"/v1/models/colour/channels/{block}/2",
        f"/v1/models/colour/versions/{version}/channels/{block}/2",
    ):
        answer = client.post(address, content=png, params={"gate": 0}).json()
        assert answer["model"]["name"] == "colour"
        assert (answer["block"], answer["channel"], answer["gate_if_set"]) == (block, 2, 0)
        assert answer["gate"] == pytest.approx(prediction["recalibration_weights"][block][2], abs=1e-6)
        assert np.shape(answer["map"]) == (answer["height"], answer["width"])
        for label, predicted in zip(answer["labels"], prediction["probabilities"], strict=True):
            before, after = label["probability"], label["probability_if_set"]
            assert (label["label"], before) == (predicted["label"], pytest.approx(predicted["probability"], abs=1e-6))
            assert label["log_odds_change"] == pytest.approx(
                np.log(after / (1 - after)) - np.log(before / (1 - before)), abs=1e-4
            )
        assert any(abs(label["log_odds_change"]) > 1e-4 for label in answer["labels"])


def test_what_is_refused(client: TestClient, png: bytes) -> None:
    block = client.get("/v1/models/colour/card").json()["blocks"][0]["name"]

    def refuse(path: str, status: int, code: str, content: bytes = png, **query: float) -> None:
        problem(client.post(path, content=content, params=query), status, code)

    good = f"/v1/models/colour/channels/{block}/0"
    refuse(f"/v1/models/colour/channels/{block}/100000", 404, "unknown-channel")
    refuse("/v1/models/colour/channels/nothing/0", 404, "unknown-channel")
    refuse("/v1/models/nobody/channels/a/0", 404, "unknown-model")
    refuse("/v1/models/colour/versions/99/channels/a/0", 404, "unknown-model")
    refuse(good, 415, "unrecognised", b"no image")
    refuse(good, 422, "invalid-parameter", gate=1.5)
    refuse(good, 422, "frame", frame=7)
    files = [("file", ("a.png", png)), ("file", ("b.png", png))]
    detail = problem(client.post(good, files=files), 400, "too-many-files").detail
    assert detail == "A channel is of one image: send one file."


def test_is_counted_and_timed_as_a_prediction_is(client: TestClient, png: bytes) -> None:
    block = client.get("/v1/models/colour/card").json()["blocks"][0]["name"]
    assert client.post(f"/v1/models/colour/channels/{block}/0", content=png).is_success
    assert client.post(f"/v1/models/colour/versions/1/channels/{block}/100000", content=png).is_client_error
    text = client.get("/metrics").text
    for outcome in ("ok", "client_error"):
        assert f'retina_requests_total{{model="colour",outcome="{outcome}"}} 1.0' in text
    assert 'retina_request_duration_seconds_count{model="colour"} 2.0' in text


def test_the_models_statistics_count_predictions_alone(client: TestClient, png: bytes) -> None:
    block = client.get("/v1/models/colour/card").json()["blocks"][0]["name"]
    assert client.post(f"/v1/models/colour/channels/{block}/0", content=png).is_success
    [*statistics] = client.get("/v2/models/colour/stats").json()["model_stats"]
    assert all(each["inference_stats"]["compute_input"]["count"] == 0 for each in statistics)
    decoded = [
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("retina_decode_duration_seconds_count")
    ]
    assert decoded
    assert all(line.endswith(" 0.0") for line in decoded)
