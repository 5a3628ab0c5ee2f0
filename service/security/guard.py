"""The check before a route: who is the caller, has it the scope, is it within its rate limit?"""

from typing import Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from service.http.problems import ProblemDocument
from service.http.request_log import shown
from service.protocol.messages import ErrorDocument
from service.security.entry import Sender, let_in, subject
from service.security.scopes import Scope
from service.state import state_of

HELP = "An API key (`rsk_...`) or a token of the OpenID provider. Not needed where authentication is off."
TEXTS = {
    401: "The key or token is missing, or not accepted.",
    403: "The key or token does not allow this.",
    429: "Too many requests from this caller: try again after `Retry-After` seconds.",
    500: "A fault of the service. Its log has the details.",
    503: "The keys of the OpenID provider can't be fetched: try again after `Retry-After` seconds.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemDocument | ErrorDocument, "description": text} for code, text in TEXTS.items()
}
"""Errors of a guarded route: a problem document, or under ``/v2`` the error of the protocol."""


class Guard(HTTPBearer):
    """Admit a request if its caller has one of the scopes, before its body is read.

    ``request.state.caller`` is the caller's name, and ``request.state.scopes`` are all its scopes.
    """

    def __init__(self, *scopes: Scope) -> None:
        super().__init__(scheme_name="bearer", description=HELP)  # for the documentation
        self.scopes = scopes

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Check a request.

        Raises:
            ProblemError: 401, 403 or 429; 503 if the keys of the provider are unavailable.
        """
        state = state_of(request)
        host = request.client.host if request.client else None
        sender = Sender(request.headers.get("Authorization", ""), host, shown(request.scope))
        try:
            caller = await let_in(state, sender, self.scopes)
        finally:
            if sender.headers:
                request.state.headers = sender.headers
        request.state.caller, request.state.scopes = caller.name, caller.scopes


def needs(*scopes: Scope) -> Any:
    """The FastAPI dependency of routes that need one of these scopes."""
    return Depends(Guard(*scopes))


def subject_of(request: Request) -> str:
    """Who shares in the limits of a caller: the key or token of a request that was let in, else its address."""
    name: str | None = getattr(request.state, "caller", None)
    return subject(name, request.client.host if request.client else None)
