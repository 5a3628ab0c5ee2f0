"""gzip and deflate, in both directions and at every address. The decompressed size is limited."""

import asyncio
import gzip
import zlib
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import ProblemError

# Window bits for zlib: deflate means the zlib format (RFC 9110, section 8.4.1.2), and 16 more select gzip.
WINDOW = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS + 16}
WORTH_BYTES = 1024
PACKED = ("application/json", "application/problem+json", "application/octet-stream", "text/html", "text/plain")
"""Media types of answers that become smaller. Pictures and DICOM files stay as they are."""
LEVEL = 1  # a higher level hardly shrinks floats further, and delays the answer


class Compression:
    """Unpack the bodies of requests, and pack the answers for clients that accept it.

    An answer that a route has encoded, that has a tag of its own (``ETag``) or that is sent in parts stays as it is.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        """``limit`` is the largest body of a request in bytes, both as it is sent and unpacked."""
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        encoding, accepted = headers.get("Content-Encoding", ""), headers.get("Accept-Encoding", "")
        if encoding.strip().lower() not in ("", "identity"):
            receive = unpacked(receive, encoding, self.limit)
        if acceptable(accepted):
            send = packed(send, accepted)
        await self.app(scope, receive, send)


def unpacked(receive: Receive, encoding: str, limit: int) -> Receive:
    """Return a channel that gives the whole body in one message, without its content encoding.

    The problems of :func:`unpack` are raised where the route reads the body, so under the route's time limit.
    """
    done = False

    async def receive_unpacked() -> Message:
        nonlocal done
        chunks, size, more = [], 0, not done
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return message
            chunks.append(message.get("body", b""))
            size, more = size + len(chunks[-1]), message.get("more_body", False)
            if size > limit:
                raise ProblemError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    "body-too-large",
                    f"The body exceeds {limit:,} bytes: send smaller or fewer images.",
                    headers={"Connection": "close"},
                )
        if done:
            return await receive()
        done = True
        body = await asyncio.to_thread(unpack, b"".join(chunks), encoding, limit)
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_unpacked


def packed(send: Send, accepted: str) -> Send:
    """Return a channel that packs an answer if it is worth it."""
    held: Message | None = None

    async def send_packed(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and worth(Headers(raw=message.get("headers", []))):
            held = message
            return
        if held is not None:
            start, held = held, None
            if not message.get("more_body"):
                body, fields = await asyncio.to_thread(pack, message["body"], accepted)
                headers = MutableHeaders(raw=list(start["headers"]))
                headers.update({**fields, "Content-Length": str(len(body))})
                start, message = {**start, "headers": headers.raw}, {**message, "body": body}
            await send(start)
        await send(message)

    return send_packed


def worth(headers: Headers) -> bool:
    """Whether an answer with these header fields may be packed, and is long enough to be."""
    kind, length = headers.get("Content-Type", "").partition(";")[0], headers.get("Content-Length", "0")
    return kind in PACKED and int(length) >= WORTH_BYTES and not {"content-encoding", "etag"} & set(headers)


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its content encoding.

    Raises:
        ProblemError: 415 for an unknown encoding, 413 beyond ``limit`` bytes, 400 for damaged data.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WINDOW:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            f"Content-Encoding {encoding[:40]!r} is not read here: send gzip, deflate or none.",
            headers={"Accept-Encoding": ", ".join(WINDOW)},
        )
    unpacker = zlib.decompressobj(WINDOW[name])
    try:
        content = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise damaged(name, str(error).rpartition(": ")[2]) from None
    if len(content) > limit:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body-too-large",
            f"The body exceeds {limit:,} bytes after decompression: send fewer images.",
        )
    if not unpacker.eof or unpacker.unused_data:
        raise damaged(name, "it ends early" if not unpacker.eof else "bytes follow its end")
    return content


def damaged(name: str, reason: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.BAD_REQUEST, "content-encoding", f"The body is not whole {name} data ({reason}): send it again."
    )


def pack(body: bytes, accepted: str) -> tuple[bytes, dict[str, str]]:
    """Return a body in the encoding that ``Accept-Encoding`` prefers, and the headers that say so."""
    names = acceptable(accepted)
    if len(body) < WORTH_BYTES or not names:
        return body, {}
    packed = gzip.compress(body, LEVEL, mtime=0) if names[0] == "gzip" else zlib.compress(body, LEVEL)
    return packed, {"Content-Encoding": names[0], "Vary": "Accept-Encoding"}


def acceptable(accepted: str) -> list[str]:
    """Return the known encodings that a client accepts, its favourite first; gzip if it has no favourite."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        weight = parameter.strip().removeprefix("q=") or "1"
        if name.strip() in WINDOW:
            weights[name.strip()] = float(weight) if weight.replace(".", "", 1).isdecimal() else 0.0
    return sorted(
        (name for name, weight in weights.items() if weight > 0), key=lambda name: (-weights[name], name != "gzip")
    )
