"""Bodies that still arrive: they take no place from others, and a caller has limits of its own."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from service.http.arrivals import Arrivals
from service.http.problems import ProblemError
from service.http.uploads import read_uploads
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.process import connect, running

PREDICT = "/v1/models/colour/predict"
MEGABYTE = 1 << 20


def test_bodies_of_one_byte_take_no_place(repository: Path, make_image: ImageMaker) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx".encode()
    with running(repository, RETINA_MAX_REQUESTS="4") as (_, address, _), ExitStack() as opened:
        for _ in range(14):
            connection = opened.enter_context(connect(address))
            connection.sendall(head)
        time.sleep(0.3)
        began = time.monotonic()
        for _ in range(3):
            assert httpx.post(f"{address}{PREDICT}", content=make_image()).status_code == 200
        assert time.monotonic() - began < 4
        connection.settimeout(15)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")  # less than the least rate, after its grace


def run_with(settings: Settings, test: Any) -> None:
    async def body() -> None:
        await asyncio.wait_for(test(Arrivals(settings)), 20)

    asyncio.run(body())


def test_more_bodies_of_a_caller_wait_while_another_caller_s_arrives(settings: Settings) -> None:
    async def test(arrivals: Arrivals) -> None:
        order: list[str] = []
        ends = {name: asyncio.Event() for name in ("a1", "a2", "a3", "b1")}

        async def upload(name: str) -> None:
            with arrivals.body(name[0]) as body:
                async with body.arriving():
                    order.append(name)
                    await ends[name].wait()

        tasks = {name: asyncio.create_task(upload(name)) for name in ends}
        await asyncio.sleep(0.01)
        assert order == ["a1", "b1"]
        tasks["a2"].cancel()
        ends["a1"].set()
        await asyncio.sleep(0.01)
        assert order == ["a1", "b1", "a3"]
        for end in ends.values():
            end.set()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert not arrivals.accounts

    run_with(settings.model_copy(update={"max_uploads_per_caller": 1}), test)


def test_too_many_that_wait_are_refused(settings: Settings) -> None:
    async def test(arrivals: Arrivals) -> None:
        with arrivals.body("a") as first, arrivals.body("a") as second, arrivals.body("a") as third:
            async with first.arriving():
                waiting = asyncio.create_task(second.arriving().__aenter__())
                await asyncio.sleep(0)
                with pytest.raises(ProblemError) as refused:
                    await third.arriving().__aenter__()
                assert (refused.value.code, refused.value.headers["Retry-After"]) == ("too-many-uploads", "1")
            await waiting

    run_with(settings.model_copy(update={"max_uploads_per_caller": 1, "max_requests": 1}), test)


def test_bytes_are_bounded_for_a_caller_and_for_all(settings: Settings) -> None:
    arrivals = Arrivals(settings.model_copy(update={"max_upload_bytes": 1000}))  # 750 for a caller
    with arrivals.body("a") as first, arrivals.body("a") as second, arrivals.body("b") as other:
        first.hold(500)
        with pytest.raises(ProblemError, match="500 bytes"):
            second.hold(251)
        second.hold(250)
        with pytest.raises(ProblemError, match="750 bytes"):
            other.hold(251)
        other.hold(250)
        other.hold(100)  # less than it has
        assert arrivals.size == 1000
    assert (arrivals.size, arrivals.accounts) == (0, {})


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
def test_memory_of_many_uploads_at_once(settings: Settings, form: bool) -> None:
    """All of the bodies are alive at the end; the bound of docs/operations.md is their size and an eighth."""
    number, size, piece = 12, 4 * MEGABYTE, bytes(64 * 1024)

    async def chunks() -> AsyncGenerator[bytes]:
        if form:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(size // len(piece)):
            await asyncio.sleep(0)  # so that the uploads arrive side by side
            yield piece
        if form:
            yield b"\r\n--x--\r\n"

    async def upload(arrivals: Arrivals) -> bytes:
        source = chunks()

        async def receive() -> dict[str, Any]:
            part = await anext(source, None)
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        kind = b"multipart/form-data; boundary=x" if form else b"image/png"
        request = Request({"type": "http", "headers": [(b"content-type", kind)]}, receive)
        with arrivals.body("caller") as body:
            [found] = await read_uploads(request, settings, body)
            return found.data

    async def test(arrivals: Arrivals) -> None:
        tracemalloc.start()
        try:
            found = await asyncio.gather(*(upload(arrivals) for _ in range(number)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert {len(data) for data in found} == {size}
        assert peak < number * size * 1.125 + 2 * MEGABYTE

    run_with(settings, test)


def test_who_is_refused_often_is_refused_late(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(arrivals: Arrivals) -> None:
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        for _ in range(50):
            await arrivals.refused("a")
        assert len(waits) >= 10
        assert 1 <= min(waits) <= max(waits) <= 3
        waits.clear()
        await arrivals.refused("b")
        assert not waits

    run_with(settings, test)
