"""Reading a request's body within the limits."""

import asyncio
from typing import Any

import pytest
from fastapi import Request

from service.http.problems import ProblemError
from service.http.uploads import read_uploads
from service.settings import Settings


def asked(headers: dict[str, str], receive: Any, settings: Settings) -> Any:
    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return asyncio.run(read_uploads(Request({"type": "http", "headers": named}, receive), settings))


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
