"""Questions and answers between two processes, here two ends in one."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.workers.channel import Channel, GoneError


async def handle(what: str, content: dict[str, Any]) -> Any:
    match what:
        case "slow":
            await asyncio.sleep(content["seconds"])
        case "fail":
            raise ValueError("no")
    return [what, content]


@asynccontextmanager
async def pair() -> AsyncGenerator[tuple[Channel, Channel]]:
    one, other = [await Channel.over(end, handle) for end in socket.socketpair()]
    listening = [asyncio.create_task(end.listen()) for end in (one, other)]
    yield one, other
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


def test_both_ends_ask_and_a_quick_question_passes_a_slow_one() -> None:
    async def run() -> None:
        async with pair() as (one, other):
            slow = asyncio.create_task(one.ask("slow", seconds=0.3))
            assert await one.ask("quick", text="e\u0301\n") == ["quick", {"text": "e\u0301\n"}]
            assert not slow.done()
            assert await other.ask("back") == ["back", {}]
            assert await slow == ["slow", {"seconds": 0.3}]

    asyncio.run(run())


def test_a_failure_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with pair() as (one, _):
            with pytest.raises(GoneError, match="could not answer"):
                await one.ask("fail")
            assert await one.ask("again") == ["again", {}]

    asyncio.run(run())
    assert "answering fail failed" in caplog.text


def test_no_answer_in_time_and_no_other_end() -> None:
    async def run() -> None:
        async with pair() as (one, other):
            with pytest.raises(GoneError, match=r"no answer to slow in 0\.05 s"):
                await one.ask("slow", 0.05, seconds=5)
            waiting = asyncio.create_task(one.ask("slow", seconds=5))
            await asyncio.sleep(0.05)
            other.writer.close()
            with pytest.raises(GoneError, match="has gone"):
                await waiting
            with pytest.raises(GoneError, match="has gone before more"):
                await one.ask("more")

    asyncio.run(run())
