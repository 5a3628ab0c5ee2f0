"""The errors of the infer route: never a 5xx for a client's fault."""

import base64
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.app import create_app
from service.inference.runtime import Model
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.routes.infer_messages import HEADER, INFER, binary, refused


def test_bad_files_are_the_message_s_fault(client: TestClient, make_image: ImageMaker) -> None:
    stream = io.BytesIO()
    Image.new("F", (8, 8)).save(stream, "TIFF")
    bad = {
        "empty": b"",
        "not an image file": b"no image",
        "damaged or truncated": make_image("PNG")[:-200],
        "32-bit or floating-point": stream.getvalue(),
    }
    for words, content in bad.items():
        data = [base64.b64encode(file).decode() for file in (make_image(), content)]
        inputs = {"name": "image_bytes", "shape": [2], "datatype": "BYTES", "data": data}
        refused(client.post(INFER, json={"inputs": [inputs]}), 400, words)
        assert "input image_bytes: element 1" in client.post(INFER, json={"inputs": [inputs]}).json()["error"]


@pytest.mark.parametrize(
    ("method", "address", "status", "words"),
    [
        ("POST", "/v2/models/color/infer", 404, "colour, grey"),
        ("POST", "/v2/models/colour/versions/7/infer", 404, "1, 2"),
        ("GET", "/v2/models/color", 404, "colour, grey"),
        ("GET", "/v2/models/color/ready", 404, "colour, grey"),
        ("GET", "/v2/models/color/config", 404, "colour, grey"),
        ("GET", "/v2/models/color/stats", 404, "colour, grey"),
        ("GET", "/v2/models/colour/versions/7/stats", 404, "1, 2"),
        ("GET", "/v2/models/..%2f..%2fetc", 404, ""),
        ("GET", "/v2/nothing", 404, "nothing at /v2/nothing"),
        ("GET", INFER, 405, "GET does not work"),
        ("POST", "/v2", 405, "POST does not work"),
    ],
)
def test_errors_have_the_protocol_s_form(
    client: TestClient, method: str, address: str, status: int, words: str
) -> None:
    refused(client.request(method, address), status, words)


def test_a_failure_inside_keeps_its_cause(
    client: TestClient, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("service.inference.runtime.Model.run", broken)
    body, headers = binary(pixels)
    response = client.post(INFER, content=body, headers=headers)
    refused(response, 500, "Its log has the details")
    assert "secret" not in response.text
    stats = client.get("/v2/models/colour/versions/2/stats").json()["model_stats"][0]
    assert stats["inference_stats"]["fail"]["count"] == 1


def test_overload_and_timeout(settings: Settings, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    gate, run = threading.Event(), Model.run

    def held_back(model: Model, images: Any) -> Any:
        assert gate.wait(20)
        return run(model, images)

    app = create_app(settings.model_copy(update={"max_requests": 1}))
    with TestClient(app) as client, ThreadPoolExecutor(1) as threads:
        monkeypatch.setattr(Model, "run", held_back)
        body, headers = binary(pixels, parameters={"timeout": 50_000})
        refused(client.post(INFER, content=body, headers=headers), 503, "within its timeout of 0.05 s")
        body, headers = binary(pixels)
        first = threads.submit(client.post, INFER, content=body, headers=headers)
        while not app.state.service.requests.total():
            threading.Event().wait(0.005)
        response = client.post(INFER, content=body, headers=headers)
        refused(response, 503, "try again")
        assert response.headers["Retry-After"] == "1"
        gate.set()
        assert first.result(20).status_code == 200


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    header=st.none() | st.integers(-2, 320).map(str) | st.text("0123456789abc ", max_size=8),
    encoding=st.sampled_from([None, "gzip", "deflate", "br"]),
)
def test_no_bytes_give_a_5xx(client: TestClient, body: bytes, header: str | None, encoding: str | None) -> None:
    headers = {name: value for name, value in ((HEADER, header), ("Content-Encoding", encoding)) if value is not None}
    response = client.post(INFER, content=body, headers=headers)
    assert 400 <= response.status_code < 500
    assert list(response.json()) == ["error"]
