"""Letting a request in, over HTTP and gRPC alike: who is the caller, has it the scope, is it within its rate limit?"""

import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from service.http.problems import ProblemError
from service.security.callers import CredentialsError, UnreachableError
from service.security.rate_limit import network
from service.security.scopes import Caller, Scope
from service.state import State

logger = logging.getLogger(__name__)
REALM = 'Bearer realm="retina-srm"'


@dataclass
class Sender:
    """What a request tells of its sender."""

    authorization: str
    """As in the header ``Authorization``. Empty: no credentials."""
    host: str | None
    """Its address."""
    call: str
    """What it asks for, in the words of the log."""
    headers: dict[str, str] = field(default_factory=dict)
    """What its answer says of its rate limit."""

    @property
    def address(self) -> str:
        """Its address, for the log. A trusted proxy may pass on text that is no address."""
        try:
            return str(ipaddress.ip_address(self.host or ""))
        except ValueError:
            return "unknown"


async def let_in(state: State, sender: Sender, scopes: Sequence[Scope]) -> Caller:
    """Return the caller of a request, if it has one of the scopes.

    Raises:
        ProblemError: 401, 403 or 429; 503 if the keys of the provider are unavailable.
    """
    try:
        caller = await identify(state, sender)
        if caller.scopes.isdisjoint(scopes):
            raise refusal(state, caller, scopes[0])
        limit(state, sender, caller.name)
    except ProblemError as problem:
        state.metrics.rejected.labels(problem.code).inc()
        logger.info("refused %s from %s: %s", sender.call, sender.address, problem.detail)
        raise
    if "admin" in scopes and "admin" in caller.scopes:
        logger.info("%s by %s", sender.call, caller.name)
    return caller


async def identify(state: State, sender: Sender) -> Caller:
    try:
        return await state.access.identify(sender.authorization)
    except CredentialsError as error:
        limit(state, sender, None)  # so that guessing is slow and does not affect other callers
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


def subject(name: str | None, host: str | None) -> str:
    """Who shares in the limits of a caller: its key or token, else its address."""
    return network(host) if name is None else name


def limit(state: State, sender: Sender, name: str | None) -> None:
    """Count a request of a caller, or of an address if the caller is unknown. The answer tells what is left."""
    limiter = state.limiter
    if not limiter.rate:
        return
    allowance = limiter.take(subject(name, sender.host))
    sender.headers = limiter.headers(allowance)
    if not allowance.allowed:
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate-limited",
            f"More than {limiter.rate:g} requests a second: try again in {allowance.retry_s} s.",
        )
