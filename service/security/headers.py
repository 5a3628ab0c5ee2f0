"""Security headers for browsers, and cache headers."""

from collections.abc import Mapping

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.root_path import path_of
from service.protocol.binary import HEADER

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CLOSED = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; " + CLOSED
)
DOCS_POLICY = (  # the Swagger page starts with an inline script, and its script writes styles
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; " + CLOSED
)
ANSWER_POLICY = "default-src 'none'; frame-ancestors 'none'"
# the browser asks whether there is a newer version
PAGE = SAFE | {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
DOCS = SAFE | {"Content-Security-Policy": DOCS_POLICY, "Cache-Control": "no-cache"}
ANSWER = SAFE | {"Content-Security-Policy": ANSWER_POLICY, "Cache-Control": "no-store"}


def fields(path: str) -> Mapping[str, str]:
    """The header fields of an answer at a path. Answers that are not a page are not cached."""
    if path in ("/", "/models", "/status") or path.startswith("/static/"):
        return PAGE
    return DOCS if path.startswith("/docs") else ANSWER


class SecurityHeaders:
    """Add them, and the headers of the guard, to every answer. Headers that a route sets are kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        path = path_of(scope)

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = message.get("headers", [])
                names = {name.lower() for name, _ in present}
                wanted = {**fields(path), **scope.get("state", {}).get("headers", {})}
                added = ((name.lower().encode(), value.encode()) for name, value in wanted.items())
                message["headers"] = [*present, *(field for field in added if field[0] not in names)]
            await send(message)

        await self.app(scope, receive, send_with_fields)


def install(app: FastAPI, origins: list[str]) -> None:
    """Add the header fields to an application, and allow pages of these origins (none by default) to call it."""
    app.add_middleware(SecurityHeaders)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", HEADER, "X-Request-ID", "traceparent", "tracestate"],
            expose_headers=["X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy", HEADER],
        )
