"""The Open Inference Protocol, version 2, over REST: its messages, its tensors, and their binary form.

The protocol is KServe's and Triton's (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol);
the binary, classification and statistics extensions are Triton's
(https://github.com/triton-inference-server/server/tree/main/docs/protocol).
"""

from http import HTTPStatus

from service.http.problems import ProblemError


def invalid(detail: str) -> ProblemError:
    """The answer of the protocol to an invalid message: 400, with a text that names the field."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "invalid-message", detail)
