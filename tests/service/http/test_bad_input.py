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


def test_wrong_content_type_says_how_to_send(client: TestClient, make_image: ImageMaker) -> None:
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        response = client.post(PREDICT, content=make_image(), headers={"Content-Type": kind})
        assert "curl" in problem(response, 415, "content-type").detail


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "multipart/form-data"}, b"--x\r\n"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"garbage without any boundary"),
        (
            {"Content-Type": "multipart/form-data; boundary=x"},
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n--x--',
        ),
    ],
    ids=["no boundary", "garbage", "text field"],
)
def test_malformed_forms(client: TestClient, headers: dict[str, str], body: bytes) -> None:
    problem(client.post(PREDICT, content=body, headers=headers), 400, "malformed-form")


def test_a_form_without_files(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(client.post(PREDICT, content=b"--x--\r\n", headers=headers), 400, "empty")


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


def small(settings: Settings, **limits: int) -> TestClient:
    return TestClient(create_app(settings.model_copy(update=limits)), raise_server_exceptions=False)


def test_too_many_bytes_announced_or_not(settings: Settings) -> None:
    with small(settings, max_body_bytes=10_000) as client:
        announced = client.post(PREDICT, content=b"x" * 10_001)
        assert "10,000 bytes" in problem(announced, 413, "body-too-large").detail
        chunked = client.post(PREDICT, content=iter([b"x" * 6_000] * 2))
        problem(chunked, 413, "body-too-large")
        problem(client.post(PREDICT, files={"file": b"x" * 10_001}), 413, "body-too-large")


def test_too_many_pixels(settings: Settings, make_image: ImageMaker) -> None:
    with small(settings, max_pixels=96 * 64 - 1) as client:
        assert "96 x 64" in problem(client.post(PREDICT, content=make_image()), 413, "too-large").detail
    with small(settings, max_pixels=96 * 64) as client:
        assert client.post(PREDICT, content=make_image()).status_code == 200


def test_too_many_files(settings: Settings, make_image: ImageMaker) -> None:
    files = [("file", (f"{index}.jpg", make_image())) for index in range(3)]
    with small(settings, max_files=2) as client:
        assert client.post(PREDICT, files=files[:2]).status_code == 200
        assert (
            "Maximum number of files is 2" in problem(client.post(PREDICT, files=files), 400, "malformed-form").detail
        )


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
