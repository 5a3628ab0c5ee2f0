"""Every bad request gets a 4xx problem document (RFC 9457) that says what to do."""

import io
import struct
import zlib

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.app import create_app
from service.http.problems import ProblemDocument
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.problems import problem

PREDICT = "/v1/models/colour/predict"


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few hundred bytes that claims billions of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"this is no image", 415, "unrecognised"),
        (b"%PDF-1.7 and so on", 415, "unrecognised"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", 415, "unrecognised"),
        (bomb(), 413, "too-large"),
    ],
    ids=["empty", "text", "pdf", "gif", "bomb"],
)
def test_not_a_usable_image(client: TestClient, content: bytes, status: int, code: str, form: bool) -> None:
    if form:
        response = client.post(PREDICT, files={"file": ("eye.jpg", content)})
        assert problem(response, status, code).file == "eye.jpg"
    else:
        problem(client.post(PREDICT, content=content), status, code)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_truncated_files(client: TestClient, make_image: ImageMaker, file_format: str) -> None:
    image = make_image(file_format)
    response = client.post(PREDICT, content=image[: len(image) * 2 // 3])
    assert "whole file" in problem(response, 422, "damaged").detail


def test_float_pixels_are_refused_with_the_remedy(client: TestClient) -> None:
    stream = io.BytesIO()
    Image.new("F", (40, 40), 0.5).save(stream, "TIFF")
    assert "8 or 16 bits" in problem(client.post(PREDICT, content=stream.getvalue()), 415, "unsupported").detail


def test_one_bad_file_of_several_is_named(client: TestClient, make_image: ImageMaker) -> None:
    files = [("file", ("good.jpg", make_image())), ("file", ("bad.jpg", b"no image"))]
    assert problem(client.post(PREDICT, files=files), 415, "unrecognised").file == "bad.jpg"


def test_unknown_model_and_version_list_what_there_is(client: TestClient, make_image: ImageMaker) -> None:
    unknown = client.post("/v1/models/color/predict", content=make_image())
    assert "colour, grey" in problem(unknown, 404, "unknown-model").detail
    version = client.post("/v1/models/colour/versions/7/predict", content=make_image())
    assert "1, 2" in problem(version, 404, "unknown-model").detail
    problem(client.get("/v1/models/nope/card"), 404, "unknown-model")


def test_path_traversal_finds_nothing(client: TestClient, make_image: ImageMaker) -> None:
    for name in ("..%2f..%2fetc", "%2e%2e", "colour%00"):
        assert client.post(f"/v1/models/{name}/predict", content=make_image()).status_code == 404


@pytest.mark.parametrize("query", ["weights=some", "activation_map=perhaps", "wieghts=none"])
def test_unknown_query_names_and_values(client: TestClient, make_image: ImageMaker, query: str) -> None:
    document = problem(client.post(f"{PREDICT}?{query}", content=make_image()), 422, "invalid-parameter")
    assert query.partition("=")[0] in document.detail


def test_unknown_address_and_method(client: TestClient) -> None:
    problem(client.get("/v1/nothing"), 404, "http")
    problem(client.get(PREDICT), 405, "http")


def test_too_many_pixels(settings: Settings, make_image: ImageMaker) -> None:
    with TestClient(create_app(settings.model_copy(update={"max_pixels": 96 * 64 - 1}))) as client:
        assert "96 x 64" in problem(client.post(PREDICT, content=make_image()), 413, "too-large").detail
    with TestClient(create_app(settings.model_copy(update={"max_pixels": 96 * 64}))) as client:
        assert client.post(PREDICT, content=make_image()).status_code == 200


def test_a_failure_inside_is_a_500_without_its_cause(
    client: TestClient, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("service.inference.runtime.Model.run", broken)
    response = client.post(PREDICT, content=make_image())
    assert response.status_code == 500
    assert "secret" not in response.text
    assert ProblemDocument.model_validate_json(response.content).type == "urn:retina-srm:problem:internal"
