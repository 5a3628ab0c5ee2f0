"""Limits of a connection before the application sees a request: bytes, header fields and time.

The fast parser of uvicorn has none of these limits: a head may grow without end, and a client that stops in the middle
keeps its connection for ever (slowloris). Bodies have their limits in ``service.http.uploads``.
"""

import asyncio
import uuid
from http import HTTPStatus
from typing import ClassVar

import orjson
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.problems import MEDIA_TYPE
from service.settings import Settings

MOST_PIPELINED = 8
"""Requests that may wait on a connection for the answers to earlier ones. Browsers and proxies send none early."""


class GuardedProtocol(HttpToolsProtocol):
    """The protocol of uvicorn with limits. :func:`guarded` sets them."""

    settings: ClassVar[Settings]
    rejected: ClassVar[Counter]
    overhead = 0
    """Bytes since the last part of a body: head, chunk sizes, trailers."""
    in_head = True
    fault: tuple[HTTPStatus, str, str] | None = None
    deadline: asyncio.TimerHandle | None = None
    unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self.disarm()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.overhead += len(data)
        super().data_received(data)
        if self.overhead > self.settings.max_header_bytes and not self.transport.is_closing():
            self.fault = self.too_large()
            self.send_400_response("")
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self.deadline is None and not self.transport.is_closing():
            self.arm()

    def _unsupported_upgrade_warning(self) -> None:
        """Answer a request that offers another protocol as if it did not offer it, and close the connection after it.

        uvicorn would log advice about WebSocket packages. The parser reads no further request after an offer.
        """
        self.cycle.keep_alive = False

    def on_message_begin(self) -> None:
        self.in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # trailers must not set header fields, `Authorization` least of all
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.settings.max_header_bytes or len(self.headers) > self.settings.max_headers:
            self.fault = self.too_large()
            raise ValueError  # ends the parser, which calls send_400_response
        self.in_head, self.overhead = False, 0
        self.disarm()
        if len(self.pipeline) >= MOST_PIPELINED:  # each would be made ready at once, before any other connection
            self.rejected.labels("pipelined").inc()
            self.transport.abort()
            raise ValueError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.overhead = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.pipeline:  # the rest of a refused body
            self.arm()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread = self.loop.call_later(self.settings.body_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self.unread is not None:
            self.unread.cancel()
            self.unread = None
        if self.flow is not None:
            super().resume_writing()

    def arm(self) -> None:
        """Start the time limit for the next head, or for the rest of a body that nobody reads."""
        self.disarm()
        self.deadline = self.loop.call_later(self.settings.header_timeout_s, self.give_up)

    def disarm(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def give_up(self) -> None:
        if self.transport.is_closing():
            return
        self.rejected.labels("slow-head").inc()
        self.transport.close()

    def too_large(self) -> tuple[HTTPStatus, str, str]:
        settings = self.settings
        return (
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            f"The request head exceeds {settings.max_header_bytes:,} bytes or {settings.max_headers} fields.",
        )

    def send_400_response(self, msg: str) -> None:
        """Answer a request that never reaches the application, and close. ``msg`` comes from uvicorn."""
        if self.transport.is_closing():
            return
        malformed = (HTTPStatus.BAD_REQUEST, "malformed-request", "This is not an HTTP/1.1 request.")
        status, code, detail = self.fault or malformed
        self.rejected.labels(code).inc()
        problem = {
            "type": f"urn:retina-srm:problem:{code}",
            "title": status.phrase,
            "status": status.value,
            "detail": detail,
            "id": uuid.uuid4().hex,
        }
        body = orjson.dumps(problem)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def guarded(settings: Settings, rejected: Counter) -> type[GuardedProtocol]:
    """Make the protocol with the limits of the settings. It counts refusals in ``rejected``, by reason."""
    return type("Protocol", (GuardedProtocol,), {"settings": settings, "rejected": rejected})
