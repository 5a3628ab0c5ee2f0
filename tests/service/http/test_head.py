"""HEAD answers as GET, without a body."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope

from service.http.head import HeadAsGet
from service.routes.page import PAGE
from tests.service.process import running


@pytest.mark.parametrize(
    "path",
    ["/", "/models", "/v2/health/live", "/v2/health/ready", "/metrics", "/static/app.js", "/docs", "/v1/models", "/v2"],
)
def test_head_is_get_without_a_body(client: TestClient, path: str) -> None:
    asked = {"X-Request-ID": "same"}
    head, get = client.head(path, headers=asked), client.get(path, headers=asked)
    assert head.status_code == 200
    assert head.content == b""
    if path != "/metrics":  # they change
        assert head.headers == get.headers


def test_where_get_fails_head_fails_in_the_same_way(client: TestClient) -> None:
    assert client.head("/nothing").status_code == 404
    refused = client.head("/v1/models/colour/predict")
    assert (refused.status_code, refused.headers["Allow"], refused.content) == (405, "POST", b"")
    assert client.post("/").headers["Allow"] == "GET, HEAD"


def test_over_a_connection_that_stays_open(repository: Path) -> None:
    assert (PAGE / "app.js").stat().st_size > 1024
    with running(repository) as (_, address, log), httpx.Client(base_url=address) as client:
        for _ in range(2):  # a body after a head would be read as the next answer
            answer = client.head("/static/app.js", headers={"Accept-Encoding": "identity"})
            assert int(answer.headers["Content-Length"]) == (PAGE / "app.js").stat().st_size
        assert client.get("/v2/health/live").json() == {"live": True}
        log.wait_for("HEAD /static/* 200")


def test_the_body_is_left_out_whatever_the_server_does() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "HEAD", "path": "/", "headers": []}
    asyncio.run(HeadAsGet(PlainTextResponse("body"))(scope, receive, send))
    assert dict(sent[0]["headers"])[b"content-length"] == b"4"
    assert [message["body"] for message in sent[1:]] == [b""]
    assert scope["method"] == "HEAD"
