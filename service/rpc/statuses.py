"""The gRPC status of each problem."""

from http import HTTPStatus
from typing import Any

from grpc import StatusCode

from service.http.problems import ProblemError

CODES: dict[HTTPStatus, Any] = {
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.CONFLICT: StatusCode.FAILED_PRECONDITION,
    HTTPStatus.TOO_MANY_REQUESTS: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.INTERNAL_SERVER_ERROR: StatusCode.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
}
"""Every other problem is an invalid argument."""
LONGEST_TEXT = 1000
"""Characters of a status. It travels in a header, and clients limit those to some kilobytes."""


def code_of(problem: ProblemError) -> Any:
    """Return the ``grpc.StatusCode`` of a problem."""
    if problem.code == "timeout":
        return StatusCode.DEADLINE_EXCEEDED
    return CODES.get(problem.status, StatusCode.INVALID_ARGUMENT)


def text_of(problem: ProblemError) -> str:
    """Return what is said of a problem, shortened if a client made it long."""
    return problem.detail if len(problem.detail) <= LONGEST_TEXT else f"{problem.detail[:LONGEST_TEXT]}..."
