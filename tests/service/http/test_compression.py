"""gzip and deflate in both directions, as the infer route has them, and their limits."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from numpy.typing import NDArray

from service.app import create_app
from service.settings import Settings
from tests.service.routes.infer_messages import HEADER, INFER, binary, check, refused

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
        (b"no gzip", "gzip", 400, "not whole gzip data"),
        (gzip.compress(b"{}")[:-4], "gzip", 400, "ends early"),
        (gzip.compress(b"{}") + b"more", "gzip", 400, "bytes follow its end"),
        (b"{}", "br", 415, "'br' is not read here"),
    ],
)
def test_damaged_compression(client: TestClient, content: bytes, encoding: str, status: int, words: str) -> None:
    refused(client.post(INFER, content=content, headers={"Content-Encoding": encoding}), status, words)
