"""Reading a request's body within the limits."""

import asyncio
from typing import Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from service.app import create_app
from service.http.arrivals import Arrivals
from service.http.problems import ProblemError
from service.http.uploads import read_uploads
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.problems import problem

PREDICT = "/v1/models/colour/predict"


def asked(headers: dict[str, str], receive: Any, settings: Settings) -> Any:
    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    with Arrivals(settings).body("caller") as body:
        return asyncio.run(read_uploads(Request({"type": "http", "headers": named}, receive), settings, body))


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
def test_an_announced_length_over_the_limit_is_refused_before_the_body_is_read(kind: str, settings: Settings) -> None:
    async def receive() -> Any:
        raise AssertionError("the body was read")

    limited = settings.model_copy(update={"max_body_bytes": 1000})
    with pytest.raises(ProblemError, match="1,000 bytes") as refused:
        asked({"Content-Type": kind, "Content-Length": "1001"}, receive, limited)
    assert (refused.value.status, refused.value.code) == (413, "body-too-large")
    assert refused.value.headers["Connection"] == "close"


def test_a_length_at_the_limit_is_read(settings: Settings) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 1000, "more_body": False}

    limited = settings.model_copy(update={"max_body_bytes": 1000})
    [upload] = asked({"Content-Length": "1000"}, receive, limited)
    assert (upload.name, upload.data) == (None, b"x" * 1000)


def test_without_an_announced_length_reading_ends_at_the_limit(settings: Settings) -> None:
    chunks = iter([b"x" * 600] * 2)  # StopIteration if more is read

    async def receive() -> Any:
        return {"type": "http.request", "body": next(chunks), "more_body": True}

    with pytest.raises(ProblemError, match="1,000 bytes"):
        asked({}, receive, settings.model_copy(update={"max_body_bytes": 1000}))


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


def small(settings: Settings, **limits: int) -> TestClient:
    return TestClient(create_app(settings.model_copy(update=limits)), raise_server_exceptions=False)


def test_too_many_bytes_announced_or_not(settings: Settings) -> None:
    with small(settings, max_body_bytes=10_000) as client:
        announced = client.post(PREDICT, content=b"x" * 10_001)
        assert "10,000 bytes" in problem(announced, 413, "body-too-large").detail
        chunked = client.post(PREDICT, content=iter([b"x" * 6_000] * 2))
        problem(chunked, 413, "body-too-large")
        problem(client.post(PREDICT, files={"file": b"x" * 10_001}), 413, "body-too-large")


def test_too_many_files(settings: Settings, make_image: ImageMaker) -> None:
    files = [("file", (f"{index}.jpg", make_image())) for index in range(3)]
    with small(settings, max_files=2) as client:
        assert client.post(PREDICT, files=files[:2]).status_code == 200
        assert (
            "Maximum number of files is 2" in problem(client.post(PREDICT, files=files), 400, "malformed-form").detail
        )
