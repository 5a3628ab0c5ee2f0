"""Who may change what is served: whoever has the admin key."""

import hmac
from http import HTTPStatus

from fastapi import Request

from service.problems import ProblemError
from service.state import state_of


def require_admin(request: Request) -> None:
    """Let a request pass that carries the admin key.

    Raises:
        ProblemError: 403 where no key is set, 401 where the request has none or another.
    """
    setting = state_of(request).settings.admin_key
    key = setting.get_secret_value().encode() if setting is not None else b""
    if not key:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "admin-off",
            "The repository's calls are off: set RETINA_ADMIN_KEY and send it as Authorization: Bearer KEY.",
        )
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode(), key):
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "admin-key",
            "The admin key is missing or wrong: send it as Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": "Bearer"},
        )
