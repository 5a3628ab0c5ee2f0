"""Compression and its limits, and the errors of the infer route: never a 5xx for a client's fault."""

import base64
import gzip
import io
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.app import create_app
from service.inference.runtime import Model
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.routes.infer_messages import HEADER, INFER, binary, check


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


Codec = dict[str, Callable[[bytes], bytes]]
PACK: Codec = {"gzip": gzip.compress, "deflate": zlib.compress}
UNPACK: Codec = {"gzip": gzip.decompress, "deflate": zlib.decompress}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compression_in_both_directions(
    client: TestClient, repository: Path, pixels: NDArray[np.uint8], encoding: str
) -> None:
    body, headers = binary(pixels, parameters={"binary_data_output": True})
    headers |= {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    with client.stream("POST", INFER, content=PACK[encoding](body), headers=headers) as response:
        packed = b"".join(response.iter_raw())
        assert response.headers["Content-Encoding"] == encoding
    plain = Response(200, headers={HEADER: response.headers[HEADER]}, content=UNPACK[encoding](packed))
    check(plain, repository / "colour" / "2" / "model.onnx", pixels)


@pytest.mark.parametrize("accepted", ["", "br", "identity", "gzip;q=0", "gzip;q=none"])
def test_no_compression_unless_asked_for(client: TestClient, pixels: NDArray[np.uint8], accepted: str) -> None:
    body, headers = binary(pixels)
    response = client.post(INFER, content=body, headers=headers | {"Accept-Encoding": accepted})
    assert response.status_code == 200
    assert "Content-Encoding" not in response.headers


def refused(response: Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]


def test_what_is_unpacked_is_bounded(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_body_bytes": 100_000}))
    with TestClient(app, raise_server_exceptions=False) as client:
        for encoding in ("gzip", "deflate"):
            bomb = PACK[encoding](bytes(50_000_000))
            assert len(bomb) < 100_000
            response = client.post(INFER, content=bomb, headers={"Content-Encoding": encoding})
            refused(response, 413, "100,000 bytes after decompression")
        refused(client.post(INFER, content=bytes(100_001)), 413, "100,000 bytes")
        refused(client.post(INFER, content=iter([bytes(60_000)] * 2)), 413, "100,000 bytes")


@pytest.mark.parametrize(
    ("content", "encoding", "status", "words"),
    [
        (b"no gzip", "gzip", 400, "not whole gzip data"),
        (gzip.compress(b"{}")[:-4], "gzip", 400, "ends early"),
        (gzip.compress(b"{}") + b"more", "gzip", 400, "bytes follow its end"),
        (b"{}", "br", 415, "'br' is not read here"),
    ],
)
def test_damaged_compression(client: TestClient, content: bytes, encoding: str, status: int, words: str) -> None:
    refused(client.post(INFER, content=content, headers={"Content-Encoding": encoding}), status, words)


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
        while not app.state.service.requests:
            threading.Event().wait(0.005)
        response = client.post(INFER, content=body, headers=headers)
        refused(response, 503, "try again")
        assert response.headers["Retry-After"] == "1"
        gate.set()
        assert first.result(20).status_code == 200


def test_not_ready_while_it_stops(client: TestClient) -> None:
    assert client.get("/v2/models/colour/ready").json() == {"name": "colour", "ready": True}
    client.app.state.service.ready = False  # type: ignore[attr-defined]
    response = client.get("/v2/models/colour/ready")
    assert (response.status_code, response.json()) == (503, {"name": "colour", "ready": False})


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
