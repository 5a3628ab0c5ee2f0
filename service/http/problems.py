"""Errors as problem documents (RFC 9457): what was wrong, and what to do."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from models.preprocessing import ImageError, ImageFault
from models.wording import described
from service.http.root_path import path_of, root_of
from service.inference.errors import (
    ClosedGraphError,
    InferenceError,
    QueueFullError,
    UnknownChannelError,
    UnknownModelError,
    UnusableImageError,
)

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499
"""The status for a request whose client disconnected before its answer, as in the logs of nginx.

No client receives it.
"""

IMAGE_STATUS: dict[ImageFault, HTTPStatus] = {
    "empty": HTTPStatus.BAD_REQUEST,
    "unrecognised": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "damaged": HTTPStatus.UNPROCESSABLE_ENTITY,
    "frame": HTTPStatus.UNPROCESSABLE_ENTITY,
    "out-of-scope": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457), with the id of the request and, if one file of several is at fault, its name."""

    type: str = Field(description="Stable name of the kind of problem.", examples=["urn:retina-srm:problem:damaged"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["The image is damaged or truncated: check that the whole file was sent."])
    id: str = Field(description="The request's id.", examples=["0d9f2f0e5b0b4a1c8f0e2f5d7b3a9c11"])
    file: str | None = Field(default=None, description="Name of the file at fault.")


class ProblemError(Exception):
    """An answer that is not a prediction."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        file: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.file = file
        self.headers = headers or {}

    @classmethod
    def of_image(cls, error: ImageError, file: str | None) -> "ProblemError":
        """The problem of one image that can't be used."""
        return cls(IMAGE_STATUS[error.fault], error.fault, str(error), file=file)

    @classmethod
    def overload(cls, code: str, detail: str) -> "ProblemError":
        """The service is overloaded. The client should try again."""
        return cls(
            HTTPStatus.SERVICE_UNAVAILABLE, code, f"{detail}: try again in a second.", headers={"Retry-After": "1"}
        )


@contextmanager
def translated(names: Sequence[str | None] = ()) -> Iterator[None]:
    """Turn the errors of inference into problems to answer with.

    Args:
        names: The names of the files as they were sent, if an image may be at fault.
    """
    try:
        yield
    except InferenceError as error:
        raise problem_of(error, names) from None


def problem_of(error: InferenceError, names: Sequence[str | None]) -> ProblemError:
    match error:
        case UnusableImageError():
            return ProblemError.of_image(error.reason, names[error.index] if names else None)
        case UnknownModelError():
            return ProblemError(HTTPStatus.NOT_FOUND, "unknown-model", str(error))
        case UnknownChannelError():
            return ProblemError(HTTPStatus.NOT_FOUND, "unknown-channel", str(error))
        case ClosedGraphError():
            return ProblemError(HTTPStatus.CONFLICT, "closed-graph", str(error))
        case QueueFullError():
            return ProblemError.overload("queue-full", str(error))
    raise error


def problem_response(request: Request, problem: ProblemError) -> Response:
    if f"{path_of(request.scope)}/".startswith("/v2/"):
        return protocol_error(problem)
    content: dict[str, Any] = {
        "type": f"urn:retina-srm:problem:{problem.code}",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
        "id": request.state.request_id,
    }
    if problem.file is not None:
        content["file"] = problem.file
    return Response(orjson.dumps(content), problem.status.value, problem.headers, MEDIA_TYPE)


def protocol_error(problem: ProblemError) -> Response:
    """The error of the Open Inference Protocol. It has 400 where the rest of the service has 422."""
    invalid = problem.status == HTTPStatus.UNPROCESSABLE_ENTITY
    status = HTTPStatus.BAD_REQUEST if invalid else problem.status
    return Response(orjson.dumps({"error": problem.detail}), status.value, problem.headers, "application/json")


def install(app: FastAPI) -> None:
    """Answer every error with a problem document; under ``/v2`` with the error of the Open Inference Protocol."""

    @app.exception_handler(ProblemError)
    async def on_problem(request: Request, error: ProblemError) -> Response:
        return problem_response(request, error)

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> Response:
        named = ({**e, "loc": (f"{e['loc'][0]} parameter {'.'.join(map(str, e['loc'][1:]))}",)} for e in error.errors())
        faults = "; ".join(described(named, got=repr))[:2000]
        detail = f"{faults}: see {root_of(request.scope)}/docs for the parameters."
        return problem_response(request, ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-parameter", detail))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        detail, docs = str(error.detail), f"{root_of(request.scope)}/docs"
        if status == HTTPStatus.NOT_FOUND:
            detail = f"There is nothing at {request.url.path}: see {docs} for the addresses of this service."
        elif status == HTTPStatus.METHOD_NOT_ALLOWED:
            detail = f"{request.method} does not work at {request.url.path}: see {docs}."
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"  # service.http.head
        return problem_response(request, ProblemError(status, "http", detail, headers=headers))

    @app.exception_handler(ClientDisconnect)
    async def on_disconnect(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(Exception)
    async def on_failure(request: Request, error: Exception) -> Response:
        logger.error("request %s failed", request.state.request_id, exc_info=error)
        detail = "The service failed on this request. Its log has the details under this id."
        return problem_response(request, ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail))
