"""gzip and deflate in both directions, at every address, and their limits."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Request, Response
from numpy.typing import NDArray

from service.app import create_app
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.problems import problem
from tests.service.routes.infer_messages import HEADER, INFER, binary, check, refused

PREDICT = "/v1/models/colour/predict"
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
        (b"no gzip", "gzip", 400, "not whole gzip data (incorrect header check)"),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400, "ends early"),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", 400, "bytes follow its end"),
        (b"{}", "br", 415, "'br' is not read here"),
    ],
)
def test_damaged_compression(client: TestClient, content: bytes, encoding: str, status: int, words: str) -> None:
    refused(client.post(INFER, content=content, headers={"Content-Encoding": encoding}), status, words)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
def test_predict_in_both_directions(client: TestClient, make_image: ImageMaker, encoding: str, form: bool) -> None:
    image = make_image("BMP")
    asked = Request("POST", "http://x", files={"file": ("eye.bmp", image)}) if form else Request("POST", "http://x")
    body, headers = (asked.read(), {"Content-Type": asked.headers["Content-Type"]}) if form else (image, {})
    plain = client.post(PREDICT, content=body, headers=headers | {"Accept-Encoding": "identity"})
    headers |= {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    with client.stream("POST", PREDICT, content=PACK[encoding](body), headers=headers) as response:
        packed = b"".join(response.iter_raw())
    assert response.status_code == 200
    assert response.headers["Content-Encoding"] == encoding
    assert "Accept-Encoding" in response.headers["Vary"]
    assert int(response.headers["Content-Length"]) == len(packed) < len(plain.content)
    [ours], [theirs] = (json.loads(text)["predictions"] for text in (UNPACK[encoding](packed), plain.content))
    assert ours == theirs


def test_every_v1_body_may_be_packed(client: TestClient, make_image: ImageMaker) -> None:
    headers = {"Content-Encoding": "gzip"}
    image = make_image("PNG")
    preview = client.post("/v1/models/colour/preview", content=gzip.compress(image, mtime=0), headers=headers)
    assert preview.content == client.post("/v1/models/colour/preview", content=image).content
    assert "Content-Encoding" not in preview.headers  # a PNG is packed already
    admin = client.post("/v2/repository/index", content=gzip.compress(b"{}", mtime=0), headers=headers)
    assert admin.status_code == 403  # the caller comes before the body


def test_small_answers_and_plain_uploads_stay_as_they_are(client: TestClient, make_image: ImageMaker) -> None:
    asked = {"Accept-Encoding": "gzip, deflate"}
    for response in (
        client.post("/v1/models/none/predict", content=make_image(), headers=asked),
        client.get("/v2/health/live", headers=asked),
        client.post(f"{PREDICT}?weights=none", content=make_image(), headers=asked),
    ):
        assert len(response.content) < 1024
        assert "Content-Encoding" not in response.headers
    for sent in ({}, {"Content-Encoding": "identity"}, {"Content-Type": "image/jpeg"}):
        assert client.post(PREDICT, content=make_image("JPEG"), headers=sent).status_code == 200
    assert client.get("/v1/models/colour/card", headers=asked).headers["Content-Encoding"] == "gzip"


def test_what_v1_unpacks_is_bounded(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_body_bytes": 100_000}))
    with TestClient(app, raise_server_exceptions=False) as client:
        for encoding in ("gzip", "deflate"):
            bomb, headers = PACK[encoding](bytes(50_000_000)), {"Content-Encoding": encoding}
            told = problem(client.post(PREDICT, content=bomb, headers=headers), 413, "body-too-large")
            assert "100,000 bytes after decompression" in told.detail
            long = iter([bytes(60_000)] * 2)  # not announced
            problem(client.post(PREDICT, content=long, headers=headers), 413, "body-too-large")


@pytest.mark.parametrize(
    ("content", "encoding", "status", "words"),
    [
        (b"no gzip", "gzip", 400, "not whole gzip data"),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400, "ends early"),
        (b"{}", "br", 415, "'br' is not read here"),
    ],
)
def test_damaged_compression_of_an_image(
    client: TestClient, content: bytes, encoding: str, status: int, words: str
) -> None:
    response = client.post(PREDICT, content=content, headers={"Content-Encoding": encoding})
    assert words in problem(response, status, "content-encoding").detail
