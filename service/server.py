"""Run the application under uvicorn, and say where it listens."""

import logging
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI

from service.security.connection import guarded
from service.settings import Settings

logger = logging.getLogger(__name__)
GRACE_S = 30


class Server(uvicorn.Server):
    """uvicorn, with one line that tells a person which address to open."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                shown = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1", "::1") else host
                logger.info("open http://%s:%d/ in a browser; the API is described at /docs", shown, port)


def run(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests in hand are finished first.

    Raises:
        SystemExit: with status 0 after a signal, and 1 if the address can't be taken; uvicorn's log says why.
    """
    # uvicorn shuts down in order and then raises the signal again, for whoever handled it before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        http=guarded(settings, app.state.service.metrics.rejected),
        ws="none",
        # Without trusted proxies uvicorn would believe the fields of anybody on this machine.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE_S,
    )
    Server(config).run()
