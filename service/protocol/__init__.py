"""The Open Inference Protocol, version 2, over REST: its messages, its tensors, and their binary form.

The protocol is KServe's and Triton's (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol);
the binary, classification and statistics extensions are Triton's
(https://github.com/triton-inference-server/server/tree/main/docs/protocol).
"""

from http import HTTPStatus

from service.http.problems import ProblemError


def invalid(detail: str) -> ProblemError:
    """The protocol's answer to a message that can't be used: 400, with words that name the field."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "invalid-message", detail)
