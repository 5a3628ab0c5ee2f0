"""Reading the images of a request: a raw body, or the files of a multipart form, within the limits."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.http.problems import ProblemError
from service.settings import Settings

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
    """The parser of Starlette without its temporary files. The limit of the body also limits the memory."""

    spool_max_size = 2**63 - 1


async def read_uploads(request: Request, settings: Settings) -> list[Upload]:
    """Return the images of a request.

    Raises:
        ProblemError: if the content type is not that of an image, if the body is too large, too slow or malformed, or
            if there are too many files.
    """
    kind = request.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip().lower()
    multipart = kind == "multipart/form-data"
    if not (multipart or kind.startswith("image/") or kind in ("application/octet-stream", "application/dicom")):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type", f"Content-Type {kind!r} is not an image's: {HOW_TO}."
        )
    if multipart:
        async with in_time(settings):
            return await read_form(request, settings)
    return [Upload(None, await read_body(request, settings))]


async def read_body(request: Request, settings: Settings) -> bytes:
    """Return the whole body.

    Raises:
        ProblemError: if it is too large or too slow.
    """
    async with in_time(settings):
        return b"".join([chunk async for chunk in limited(request, settings.max_body_bytes)])


@asynccontextmanager
async def in_time(settings: Settings) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            yield
    except TimeoutError:
        raise ProblemError(
            HTTPStatus.REQUEST_TIMEOUT,
            "slow-body",
            f"The body did not arrive within {settings.body_timeout_s:g} s: send it again.",
            headers={"Connection": "close"},
        ) from None


async def limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of the body, and refuse it as soon as it exceeds the limit."""
    too_large = ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        f"The body exceeds {limit:,} bytes: send smaller or fewer images.",
        headers={"Connection": "close"},
    )
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise too_large
        yield chunk


def told(message: str) -> str:
    """Put the parser's words about its own limits and fields into words about the form."""
    if "number of fields" in message:
        return "it holds a field that is not a file"
    return "a part has no name" if "Content-Disposition" in message else message.rstrip(".")


async def read_form(request: Request, settings: Settings) -> list[Upload]:
    stream = limited(request, settings.max_body_bytes)
    parser = InMemoryParser(
        request.headers, stream, max_files=settings.max_files, max_fields=0, max_part_size=settings.max_body_bytes
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
        uploads.append(Upload(value.filename, await value.read()))
    if not uploads:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "empty", f"The form holds no file: {HOW_TO}.")
    return uploads
