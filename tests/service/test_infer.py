"""The infer route against ONNX Runtime run by hand, its forms of tensors, its compression and its errors."""

import base64
import gzip
import io
import json
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

from models.preprocessing import preprocess
from service.app import create_app
from service.runtime import Model
from service.settings import Settings
from tests.conftest import LABELS, ImageMaker
from tests.service.packages import by_hand

INFER = "/v2/models/colour/infer"
HEADER = "Inference-Header-Content-Length"
NAMES = ("probabilities", "recalibration_weights", "class_activation")


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def tensor(pixels: NDArray[np.uint8], **fields: Any) -> dict[str, Any]:
    return {"name": "image", "shape": list(pixels.shape), "datatype": "UINT8", **fields}


def binary(pixels: NDArray[np.uint8], **fields: Any) -> tuple[bytes, dict[str, str]]:
    """A request with a binary tensor, written by hand."""
    content = {"inputs": [tensor(pixels, parameters={"binary_data_size": pixels.nbytes})], **fields}
    text = json.dumps(content).encode()
    return text + pixels.tobytes(), {HEADER: str(len(text))}


def values(response: Response) -> dict[str, NDArray[np.float32]]:
    """The outputs of an answer, in either form, read by hand."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(HEADER, len(response.content)))
    found, position = {}, length
    for output in json.loads(response.content[:length])["outputs"]:
        assert output["datatype"] == "FP32"
        if "data" in output:
            flat = np.asarray(output["data"], np.float32)
        else:
            size = output["parameters"]["binary_data_size"]
            flat = np.frombuffer(response.content[position : position + size], "<f4")
            position += size
        found[output["name"]] = flat.reshape(output["shape"])
    assert position == len(response.content)
    return found


def check(response: Response, package: Path, pixels: NDArray[np.uint8]) -> None:
    found = values(response)
    assert list(found) == list(NAMES)
    for name, expected in zip(NAMES, by_hand(package, pixels), strict=True):
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, atol=1e-4)


@pytest.mark.parametrize("version", ["", "/versions/1", "/versions/2"])
@pytest.mark.parametrize("form", ["json", "nested", "binary", "binary both ways"])
def test_pixels_give_what_the_package_gives(
    client: TestClient, repository: Path, pixels: NDArray[np.uint8], version: str, form: str
) -> None:
    address = f"/v2/models/colour{version}/infer"
    package = repository / "colour" / (version[-1:] or "2") / "model.onnx"
    if form.startswith("binary"):
        body, headers = binary(pixels, parameters={"binary_data_output": form == "binary both ways"})
        response = client.post(address, content=body, headers=headers)
    else:
        data = pixels.tolist() if form == "nested" else pixels.ravel().tolist()
        response = client.post(address, json={"id": "exam 17", "inputs": [tensor(pixels, data=data)]})
        assert response.json()["id"] == "exam 17"
        assert response.headers["Content-Type"] == "application/json"
    assert (HEADER in response.headers) == (form == "binary both ways")
    check(response, package, pixels)


@pytest.mark.parametrize("form", ["json", "binary", "raw"])
def test_files_give_what_their_pixels_give(
    client: TestClient, repository: Path, make_image: ImageMaker, form: str
) -> None:
    files = [make_image("PNG", seed=seed) for seed in range(1 if form == "raw" else 2)]
    inputs: dict[str, Any] = {"name": "image_bytes", "shape": [len(files), 1], "datatype": "BYTES"}
    if form == "json":
        inputs["data"] = [base64.b64encode(file).decode() for file in files]
        response = client.post(INFER, json={"inputs": [inputs]})
    elif form == "binary":
        tail = b"".join(len(file).to_bytes(4, "little") + file for file in files)
        text = json.dumps({"inputs": [inputs | {"parameters": {"binary_data_size": len(tail)}}]}).encode()
        response = client.post(INFER, content=text + tail, headers={HEADER: str(len(text))})
    else:
        response = client.post(INFER, content=files[0], headers={HEADER: "0"})
    spec = client.app.state.service.repository.get("colour").card.input  # type: ignore[attr-defined]
    check(
        response,
        repository / "colour" / "2" / "model.onnx",
        np.stack([preprocess(file, spec).pixels for file in files]),
    )


def test_files_and_predict_agree(client: TestClient, make_image: ImageMaker) -> None:
    ours = client.post("/v1/models/colour/predict", content=make_image()).json()["predictions"][0]
    theirs = values(client.post(INFER, content=make_image(), headers={HEADER: "0"}))
    np.testing.assert_allclose([p["probability"] for p in ours["probabilities"]], theirs["probabilities"][0], atol=1e-6)


def test_mixed_outputs_follow_in_their_order(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    outputs: list[dict[str, Any]] = [
        {"name": "class_activation", "parameters": {"binary_data": True}},
        {"name": "probabilities"},
        {"name": "recalibration_weights", "parameters": {"binary_data": True}},
    ]
    body, headers = binary(pixels, outputs=outputs)
    mixed = values(client.post(INFER, content=body, headers=headers))
    assert list(mixed) == [output["name"] for output in outputs]
    body, headers = binary(pixels)
    for name, expected in values(client.post(INFER, content=body, headers=headers)).items():
        np.testing.assert_allclose(mixed[name], expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 99])
def test_classification_names_the_best_classes(client: TestClient, pixels: NDArray[np.uint8], count: int) -> None:
    body, headers = binary(pixels)
    probabilities = values(client.post(INFER, content=body, headers=headers))["probabilities"]
    asked = [{"name": "probabilities", "parameters": {"classification": count}}]
    body, headers = binary(pixels, outputs=asked)
    [output] = client.post(INFER, content=body, headers=headers).json()["outputs"]
    kept = min(count, len(LABELS))
    assert (output["datatype"], output["shape"]) == ("BYTES", [3, kept])
    lines = np.array(output["data"]).reshape(3, kept)
    for row, line in zip(probabilities, lines, strict=True):
        best = sorted(range(len(row)), key=lambda index: -row[index])[:kept]
        assert [text.split(":")[1:] for text in line] == [[str(index), LABELS[index]] for index in best]
        np.testing.assert_allclose([float(text.split(":")[0]) for text in line], row[best], atol=1e-5)


def test_an_image_is_the_same_alone_and_in_company(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    def ask(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        body, headers = binary(images)
        return values(client.post(INFER, content=body, headers=headers))["probabilities"]

    alone = [ask(pixels[index : index + 1])[0] for index in range(3)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda index: (index % 3, ask(pixels[index % 3 : index % 3 + 1])[0]), range(30)))
    for index, answer in answers:
        np.testing.assert_allclose(answer, alone[index], atol=1e-5)


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
            refused(response, 413, "100,000 bytes once unpacked")
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
        "32-bit pixels": stream.getvalue(),
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

    monkeypatch.setattr("service.runtime.Model.run", broken)
    body, headers = binary(pixels)
    response = client.post(INFER, content=body, headers=headers)
    refused(response, 500, "its log has the details")
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


def test_statistics_count_requests_images_and_batches(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    body, headers = binary(pixels)
    for _ in range(2):
        client.post(INFER, content=body, headers=headers)
    client.post(INFER, content=b"nonsense")
    stats = {(s["name"], s["version"]): s for s in client.get("/v2/models/stats").json()["model_stats"]}
    assert list(stats) == [("colour", "1"), ("colour", "2"), ("grey", "1")]
    asked = stats["colour", "2"]
    assert asked["inference_count"] == 6
    assert asked["execution_count"] == sum(b["compute_infer"]["count"] for b in asked["batch_stats"])
    assert sum(b["batch_size"] * b["compute_infer"]["count"] for b in asked["batch_stats"]) == 6
    assert (asked["inference_stats"]["success"]["count"], asked["inference_stats"]["fail"]["count"]) == (2, 1)
    assert asked["inference_stats"]["success"]["ns"] > asked["inference_stats"]["queue"]["ns"] >= 0
    assert asked["last_inference"] > 1.7e12
    assert stats["grey", "1"]["inference_count"] == stats["grey", "1"]["last_inference"] == 0


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


def test_openapi_describes_the_protocol(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for version in ("", "/versions/{version}"):
        for part in ("", "/ready", "/config", "/stats"):
            assert "get" in paths[f"/v2/models/{{model}}{version}{part}"]
        operation = paths[f"/v2/models/{{model}}{version}/infer"]["post"]
        assert set(operation["responses"]) >= {"200", "400", "404", "408", "413", "415", "503"}
        assert set(operation["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert "post" in paths["/v2/repository/index"]
