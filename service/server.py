"""Run the application under uvicorn: print its address, and shut down gracefully."""

import ctypes
import errno
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.security.connection import guarded
from service.security.proxy import BehindProxy
from service.settings import Settings
from service.settings.times import longest_request_s
from service.state import State

logger = logging.getLogger(__name__)
M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 4 << 20
"""The parameter of mallopt(3), and its value in bytes."""


class Server(uvicorn.Server):
    """uvicorn, with a log line that names the address to open, and a drain before the shutdown.

    One of several workers names no address: the supervisor does when all of them serve.
    """

    def __init__(self, config: uvicorn.Config, state: State, *, alone: bool) -> None:
        super().__init__(config)
        self.state = state
        self.alone = alone
        self.signals = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers if self.started and self.alone else ():
            for listening in server.sockets:
                announce(listening, self.state.settings)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Fail the readiness check at once. At the first SIGTERM drain; at SIGINT or a second signal stop now."""
        self.state.ready = False
        self.signals += 1
        drain = self.state.settings.drain_seconds
        if sig == signal.SIGTERM and self.signals == 1 and drain and self.started:
            timer = threading.Timer(drain, super().handle_exit, (sig, frame))
            timer.daemon = True
            timer.start()
            return
        super().handle_exit(sig, frame)


def return_large_memory() -> None:
    """Let glibc map each large block by itself, so that it grows without a copy and is returned when it is free.

    By default the limit rises to 32 MB with the first upload of that size, and the heap then keeps what it was.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def run(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Requests in flight are finished first.

    Raises:
        SystemExit: with status 0 after a signal, and 1 if the address can't be used. The log says why.
    """
    sockets = bind(settings.host, settings.port, "RETINA_PORT")
    check_grpc_port(settings)
    serve(app, settings, sockets, alone=True)


def serve(app: FastAPI, settings: Settings, sockets: list[socket.socket], *, alone: bool) -> None:
    """Serve as :func:`run` does, on sockets that are bound; ``alone`` or as one of several workers."""
    if sys.platform == "linux":
        return_large_memory()
    # uvicorn shuts down gracefully and then raises the signal again for the earlier handler.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        BehindProxy(app, settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        http=guarded(settings, app.state.service.metrics.rejected),
        ws="none",
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        proxy_headers=False,  # BehindProxy reads them
        # The longest request, and one second to send its answer.
        timeout_graceful_shutdown=longest_request_s(settings) + 1,
    )
    Server(config, app.state.service, alone=alone).run(sockets)


def announce(listening: socket.socket, settings: Settings) -> None:
    """Log the address to open."""
    host, port = listening.getsockname()[:2]
    shown = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1", "::1") else host
    scheme = "http" if settings.tls_certificate is None else "https"
    logger.info("open %s://%s:%d/ in a browser; the API is described at /docs", scheme, shown, port)


def check_grpc_port(settings: Settings) -> None:
    """Bind the port of gRPC and free it again: gRPC binds it itself, and says less if it can't.

    Raises:
        SystemExit: if the address can't be used. The log says why.
    """
    for tried in bind(settings.host, settings.grpc_port, "RETINA_GRPC_PORT") if settings.grpc_port else ():
        tried.close()


def bind(host: str, port: int, setting: str) -> list[socket.socket]:
    """Bind sockets as :func:`listening` does.

    Raises:
        SystemExit: if the address can't be used. The log says why.
    """
    try:
        return listening(host, port)
    except OSError as error:
        logger.error(
            "can't listen on %s, port %d (%s): stop what uses the address, or set RETINA_HOST or %s",
            host,
            port,
            (error.strerror or str(error)).lower(),
            setting,
        )
        raise SystemExit(1) from None


def listening(host: str, port: int) -> list[socket.socket]:
    """Bind a socket to each address of a host.

    Raises:
        OSError: if the host has no address here, or if an address is taken or not allowed.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            bound = socket.socket(family, kind, protocol)
            sockets.append(bound)
            if sys.platform != "win32":  # there it would let two processes share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                bound.bind(address)
            except OSError as error:
                # A name such as localhost may have an address of a family that is off here. One address is enough.
                if error.errno != errno.EADDRNOTAVAIL or len(found) == 1:
                    raise
                sockets.pop().close()
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets
