"""Questions between the supervisor and a worker, in both directions: lines of JSON over a pair of sockets."""

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

logger = logging.getLogger(__name__)
Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]
LONGEST_LINE = 16 * 2**20


class GoneError(Exception):
    """The other process has ended, failed to answer, or took too long."""


class Channel:
    """One end. Questions of the other end go to ``handle``, each in a task of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler) -> None:
        self.reader = reader
        self.writer = writer
        self.handle = handle
        self.numbers = itertools.count()
        self.asked: dict[int, asyncio.Future[Any]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.open = True

    @classmethod
    async def over(cls, end: socket.socket, handle: Handler) -> "Channel":
        """Speak over one end of a pair of sockets."""
        end.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=LONGEST_LINE)
        return cls(reader, writer, handle)

    async def ask(self, what: str, timeout_s: float | None = None, **content: Any) -> Any:
        """Ask the other end, and return its answer.

        Raises:
            GoneError: if it has ended, if it fails, or if it does not answer in time.
        """
        number, answer = next(self.numbers), asyncio.get_running_loop().create_future()
        if not self.open:
            raise GoneError(f"the other end has gone before {what}")
        self.asked[number] = answer
        self.send({"ask": number, "what": what, "content": content})
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise GoneError(f"no answer to {what} in {timeout_s:g} s") from None
        finally:
            del self.asked[number]

    async def listen(self) -> None:
        """Read until the other end has gone."""
        try:
            while line := await self.reader.readline():
                message = orjson.loads(line)
                if "ask" in message:
                    task = asyncio.create_task(self.answer(message))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
                elif (asked := self.asked.get(message["answer"])) is not None and not asked.done():
                    if message.get("failed"):
                        asked.set_exception(GoneError("the other end could not answer; its log says why"))
                    else:
                        asked.set_result(message["content"])
        except (ConnectionError, asyncio.IncompleteReadError):  # killed
            pass
        finally:
            self.open = False
            for asked in self.asked.values():
                if not asked.done():
                    asked.set_exception(GoneError("the other end has gone"))
            self.writer.close()

    async def answer(self, message: dict[str, Any]) -> None:
        answer = {"answer": message["ask"]}
        try:
            answer["content"] = await self.handle(message["what"], message["content"])
        except Exception:  # the other end must not wait for an answer
            logger.exception("answering %s failed", message["what"])
            answer["failed"] = True
        if self.open:
            self.send(answer)

    def send(self, message: dict[str, Any]) -> None:
        self.writer.write(orjson.dumps(message) + b"\n")
