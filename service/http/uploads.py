"""Reading the images of a request: a raw body, or the files of a multipart form, within the limits."""

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import NamedTuple, TypeVar

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.http.admission import place
from service.http.arrivals import Body
from service.http.problems import ProblemError
from service.security.guard import subject_of
from service.settings import Settings
from service.state import State

T = TypeVar("T")
GRACE_S = 5.0
"""A body may pause so long, in seconds, before its rate counts."""

HOW_TO = (
    "send the file as the body (curl -H 'Content-Type: application/octet-stream' --data-binary @eye.jpg URL) or as "
    "multipart form (curl -F file=@eye.jpg URL)"
)


class Upload(NamedTuple):
    """An image as it was sent.

    The name goes into the answer and nowhere else, because exported DICOM files are often named after the patient.
    """

    name: str | None
    data: bytes


class InMemoryParser(MultiPartParser):
    """The parser of Starlette, which writes each file of a form into one buffer as it arrives."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is not None:
            self._current_part.file.file.close()
            self._current_part.file.file = io.BytesIO()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None:
            super().on_part_data(data, start, end)
        else:
            self._current_part.file.file.write(memoryview(data)[start:end])

    def on_part_end(self) -> None:
        if self._current_part.file is None:
            super().on_part_end()
        else:
            self.items.append((self._current_part.field_name, self._current_part.file))


def received_images(request: Request, state: State) -> AbstractAsyncContextManager[list[Upload]]:
    """Receive the images of a request, then hold a place for it.

    Raises:
        ProblemError: as :func:`read_uploads`, and 503 if there is no place.
    """
    return received(state, subject_of(request), partial(read_uploads, request, state.settings))


@asynccontextmanager
async def received_image(request: Request, state: State, only: str) -> AsyncGenerator[Upload]:
    """Receive the one image of a request, as :func:`received_images`.

    Args:
        only: Why there may be no second one, as the beginning of a sentence.

    Raises:
        ProblemError: as :func:`received_images`, and 400 if there are several.
    """
    async with received_images(request, state) as uploads:
        if len(uploads) > 1:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "too-many-files", f"{only}: send one file.")
        yield uploads[0]


def received_body(request: Request, state: State) -> AbstractAsyncContextManager[bytes]:
    """Receive the whole body of a request, then hold a place for it.

    Raises:
        ProblemError: as :func:`read_body`, and 503 if there is no place.
    """
    return received(state, subject_of(request), partial(read_body, request, state.settings))


@asynccontextmanager
async def received(state: State, caller: str, read: Callable[[Body], Awaitable[T]]) -> AsyncGenerator[T]:
    """Receive a request of a caller by ``read``, then hold a place for it.

    Raises:
        ProblemError: as ``read``, and 503 if there is no place.
    """
    await expect_place(state, caller)
    with state.arrivals.body(caller) as body:
        content = await read(body)
        with place(state, caller):
            yield content


async def expect_place(state: State, caller: str) -> None:
    """Refuse a request that would have no place, before its body costs anything.

    Raises:
        ProblemError: 503, late for a caller that is refused often.
    """
    try:
        state.requests.check(caller)
    except ProblemError:
        await state.arrivals.refused(caller)
        raise


async def read_message(request: Request, state: State) -> bytes:
    """Return the body of a request that takes no place, as it predicts nothing.

    Raises:
        ProblemError: as :func:`read_body`.
    """
    with state.arrivals.body(subject_of(request)) as body:
        return await read_body(request, state.settings, body)


async def read_uploads(request: Request, settings: Settings, body: Body) -> list[Upload]:
    """Return the images of a request.

    Raises:
        ProblemError: if the content type is not that of an image, if the body is too large, too slow or malformed, if
            there are too many files, or if the bodies in memory reach their limit.
    """
    kind = request.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip().lower()
    multipart = kind == "multipart/form-data"
    if not (multipart or kind.startswith("image/") or kind in ("application/octet-stream", "application/dicom")):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type", f"Content-Type {kind!r} is not an image's: {HOW_TO}."
        )
    if multipart:
        return await read_form(request, settings, body)
    return [Upload(None, await read_body(request, settings, body))]


async def read_body(request: Request, settings: Settings, body: Body) -> bytes:
    """Return the whole body. It grows in one buffer and is not copied.

    Raises:
        ProblemError: if it is too large or too slow, or if the bodies in memory reach their limit.
    """
    buffer = io.BytesIO()
    async with arriving(request, settings, body) as chunks:
        async for chunk in chunks:
            buffer.write(chunk)
    return buffer.getvalue()  # shares the memory of the buffer


@asynccontextmanager
async def arriving(request: Request, settings: Settings, body: Body) -> AsyncGenerator[AsyncGenerator[bytes, None]]:
    """Give the chunks of the body, within the limits of size, number and time."""
    check_length(request, settings.max_body_bytes, body)
    async with body.arriving():
        progress = Progress()
        try:
            async with progress.in_time(settings):
                yield limited(request, settings.max_body_bytes, body, progress)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT,
                "slow-body",
                f"The body did not arrive within {settings.body_timeout_s:g} s, or after {GRACE_S:g} s it brought less "
                f"than {settings.min_body_rate:,} bytes per second: send it again.",
                headers={"Connection": "close"},
            ) from None


class Progress:
    """How many bytes of a body have arrived."""

    def __init__(self) -> None:
        self.received = 0

    def until(self, start: float, settings: Settings) -> float:
        """When the body is too slow, unless more of it arrives before, for a body that began at ``start``."""
        allowed = settings.body_timeout_s
        if settings.min_body_rate:
            allowed = min(allowed, GRACE_S + self.received / settings.min_body_rate)
        return start + allowed

    @asynccontextmanager
    async def in_time(self, settings: Settings) -> AsyncGenerator[None]:
        """Watch time and rate with one timer, which is set again only for a body that takes long.

        Raises:
            TimeoutError: if the body is too slow.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()

        def check() -> None:
            until = self.until(start, settings)
            if until > loop.time():
                self.timer = loop.call_at(until, check)
            else:
                timeout.reschedule(loop.time())

        async with asyncio.timeout(None) as timeout:
            self.timer = loop.call_at(self.until(start, settings), check)
            try:
                yield
            finally:
                self.timer.cancel()


def too_large(limit: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        f"The body exceeds {limit:,} bytes: send smaller or fewer images.",
        headers={"Connection": "close"},
    )


def check_length(request: Request, limit: int, body: Body) -> None:
    """Refuse an announced length above the limit, and hold memory for one below it."""
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal():
        if int(announced) > limit:
            raise too_large(limit)
        body.hold(int(announced))


async def limited(request: Request, limit: int, body: Body, progress: Progress) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of the body, and refuse it as soon as it exceeds the limit."""
    async for chunk in request.stream():
        progress.received += len(chunk)
        if progress.received > limit:
            raise too_large(limit)
        body.hold(progress.received)
        yield chunk


def told(message: str) -> str:
    """Put the parser's words about its own limits and fields into words about the form."""
    if "number of fields" in message:
        return "it holds a field that is not a file"
    return "a part has no name" if "Content-Disposition" in message else message.rstrip(".")


async def read_form(request: Request, settings: Settings, body: Body) -> list[Upload]:
    async with arriving(request, settings, body) as chunks:
        parser = InMemoryParser(
            request.headers, chunks, max_files=settings.max_files, max_fields=0, max_part_size=settings.max_body_bytes
        )
        try:
            form = await parser.parse()
        except (MultiPartException, KeyError) as error:  # KeyError: no boundary in the header
            message = told(error.message) if isinstance(error, MultiPartException) else "the boundary is missing"
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "malformed-form", f"The form can't be read ({message}): {HOW_TO}."
            ) from None
    uploads = []
    for _, value in form.multi_items():
        assert isinstance(value, UploadFile)
        assert isinstance(value.file, io.BytesIO)
        uploads.append(Upload(value.filename, value.file.getvalue()))
    if not uploads:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "empty", f"The form holds no file: {HOW_TO}.")
    return uploads
