"""What reverse proxies forward: the address of the client, the scheme, and the prefix of the service."""

import re
from urllib.parse import urlsplit, urlunsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.http.root_path import under
from service.settings import PREFIX, Settings

HEADER = b"x-forwarded-prefix"


class Proxies:
    """The proxies that the settings trust."""

    def __init__(self, settings: Settings) -> None:
        self.hosts = ProxyHeadersMiddleware(nowhere, settings.trusted_proxies or []).trusted_hosts

    def client_of(self, host: str | None, forwarded: str) -> str | None:
        """The address of a client whose connection comes from ``host``, with the value of ``X-Forwarded-For``."""
        if not forwarded or host is None or host not in self.hosts:
            return host
        return self.hosts.get_trusted_client_address(forwarded)[0] or host


async def nowhere(scope: object, receive: object, send: object) -> None:
    """An application that gets no request."""


class BehindProxy:
    """Let requests come through a reverse proxy, and believe the forwarded header fields of trusted proxies alone.

    The proxy may strip the prefix or leave it: the application sees it in both cases. Requests without it, such as the
    probes of an orchestrator, work as well. Redirects name no host, because the proxy may have another one.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.root_path = settings.root_path
        self.app = ProxyHeadersMiddleware(app, settings.trusted_proxies or [])  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)  # type: ignore[arg-type]
            return

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = message.get("headers", [])
                message = {**message, "headers": [(n, without_host(v) if n == b"location" else v) for n, v in fields]}
            await send(message)

        await self.app(under(self.prefix_of(scope), scope), receive, send_relative)  # type: ignore[arg-type]

    def prefix_of(self, scope: Scope) -> str:
        """The prefix of a request: that of the header of a trusted proxy, otherwise that of the settings."""
        sent = dict(scope["headers"]).get(HEADER)
        if sent is None or not scope["client"] or scope["client"][0] not in self.app.trusted_hosts:
            return self.root_path
        prefix = sent.decode("latin-1").strip().rstrip("/")
        return prefix if re.fullmatch(PREFIX, prefix) else self.root_path


def without_host(location: bytes) -> bytes:
    """Leave out scheme and host of an address of this service."""
    _, _, path, query, fragment = urlsplit(location.decode("latin-1"))
    # Two slashes would make the path a host.
    return location if path.startswith("//") else urlunsplit(("", "", path, query, fragment)).encode("latin-1")
