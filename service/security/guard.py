"""The check before a route: who is the caller, has it the scope, is it within its rate limit?"""

import ipaddress
import logging
from http import HTTPStatus
from typing import Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from service.http.problems import ProblemDocument, ProblemError
from service.http.request_log import shown
from service.protocol.messages import ErrorDocument
from service.security.callers import CredentialsError, UnreachableError
from service.security.rate_limit import network
from service.security.scopes import Caller, Scope
from service.state import State, state_of

logger = logging.getLogger(__name__)
REALM = 'Bearer realm="retina-srm"'
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
        try:
            caller = await identify(state, request)
            request.state.caller, request.state.scopes = caller.name, caller.scopes
            if caller.scopes.isdisjoint(self.scopes):
                raise refusal(state, caller, self.scopes[0])
            limit(state, request, caller.name)
        except ProblemError as problem:
            state.metrics.rejected.labels(problem.code).inc()
            logger.info("refused %s from %s: %s", shown(request.scope), address_of(request), problem.detail)
            raise
        if "admin" in self.scopes and "admin" in caller.scopes:
            logger.info("%s by %s", shown(request.scope), caller.name)


def address_of(request: Request) -> str:
    """Return the address of a caller, for the log. A trusted proxy may pass on text that is no address."""
    try:
        return str(ipaddress.ip_address(request.client.host)) if request.client else "unknown"
    except ValueError:
        return "unknown"


def needs(*scopes: Scope) -> Any:
    """The FastAPI dependency of routes that need one of these scopes."""
    return Depends(Guard(*scopes))


async def identify(state: State, request: Request) -> Caller:
    try:
        return await state.access.identify(request.headers.get("Authorization", ""))
    except CredentialsError as error:
        limit(state, request, None)  # so that guessing is slow and does not affect other callers
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "unauthenticated",
            f"Not let in: {error}. Send Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
        ) from None
    except UnreachableError:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "provider-unreachable",
            "The token can't be checked, because the keys of the provider can't be fetched: try again in ten seconds.",
            headers={"Retry-After": "10"},
        ) from None


def refusal(state: State, caller: Caller, scope: Scope) -> ProblemError:
    """Why a caller without the scope is refused."""
    if not state.access.has_sources:
        return ProblemError(
            HTTPStatus.FORBIDDEN,
            "admin-off",
            "The repository's calls are off, as nobody has the scope admin: add a key with it (python -m service keys "
            "add NAME --scope admin) and set RETINA_KEYS_FILE, or set RETINA_ADMIN_KEY.",
        )
    if caller.name is None:
        return ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "unauthenticated",
            "The key or token is missing or wrong: send it as Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": REALM},
        )
    return ProblemError(
        HTTPStatus.FORBIDDEN,
        "forbidden",
        f"{caller.name} does not have the scope {scope}: use a key or token that has it.",
        headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'},
    )


def subject_of(request: Request) -> str:
    """Who shares in the limits of a caller: the key or token of a request that was let in, else its address."""
    name: str | None = getattr(request.state, "caller", None)
    return network(request.client.host if request.client else None) if name is None else name


def limit(state: State, request: Request, name: str | None) -> None:
    """Count a request of a caller, or of an address if the caller is unknown. The answer tells what is left."""
    limiter = state.limiter
    if not limiter.rate:
        return
    allowance = limiter.take(network(request.client.host if request.client else None) if name is None else name)
    request.state.headers = limiter.headers(allowance)
    if not allowance.allowed:
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate-limited",
            f"More than {limiter.rate:g} requests a second: try again in {allowance.retry_s} s.",
        )
