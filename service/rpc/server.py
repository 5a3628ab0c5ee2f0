"""The gRPC server: its methods, its limits, its start and its end. It runs in the event loop of the HTTP server."""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection

from service.rpc import describing, health, repository
from service.rpc.calls import SERVICE, unary
from service.rpc.describing import acting
from service.rpc.infer import METHOD, SCOPES, model_infer, stream
from service.rpc.proto import grpc_service_pb2 as pb
from service.security.proxy import Proxies
from service.security.scopes import Scope
from service.security.tls import key_pair
from service.settings import Settings
from service.settings.times import longest_request_s
from service.state import State

logger = logging.getLogger(__name__)
ADMIN: tuple[Scope, ...] = ("admin",)
DESCRIBING = {
    "ServerLive": (pb.ServerLiveRequest, (), describing.server_live),
    "ServerReady": (pb.ServerReadyRequest, (), describing.server_ready),
    "ModelReady": (pb.ModelReadyRequest, SCOPES, describing.model_ready),
    "ServerMetadata": (pb.ServerMetadataRequest, SCOPES, describing.server_metadata),
    "ModelMetadata": (pb.ModelMetadataRequest, SCOPES, describing.metadata),
    "ModelConfig": (pb.ModelConfigRequest, SCOPES, describing.config),
    "ModelStatistics": (pb.ModelStatisticsRequest, SCOPES, describing.statistics),
}
CONTROLLING = {
    "RepositoryIndex": (pb.RepositoryIndexRequest, repository.index),
    "RepositoryModelLoad": (pb.RepositoryModelLoadRequest, repository.load_model),
    "RepositoryModelUnload": (pb.RepositoryModelUnloadRequest, repository.unload_model),
}


@asynccontextmanager
async def serving(state: State) -> AsyncGenerator[None]:
    """Serve gRPC until the end of the block. Then new calls are refused, and those in flight are finished.

    Raises:
        SettingsError: if the key pair for TLS can't be used.
        RuntimeError: if the address can't be used.
    """
    settings = state.settings
    server, stopping = grpc.aio.server(options=options(settings)), asyncio.Event()
    server.add_generic_rpc_handlers(handlers(state, stopping))
    reflection.enable_server_reflection((SERVICE, health.NAME, reflection.SERVICE_NAME), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address, pair = f"{host}:{settings.grpc_port}", key_pair(settings)
    if pair is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, grpc.ssl_server_credentials([(pair.key, pair.certificate)]))
    await server.start()
    logger.info("gRPC%s at %s:%d", "" if pair is None else " with TLS", host, port)
    try:
        yield
    finally:
        stopping.set()
        await server.stop(longest_request_s(settings) + 1)


def handlers(state: State, stopping: asyncio.Event) -> tuple[Any, ...]:
    """The methods of the services."""
    proxies = Proxies(state.settings)
    methods = {
        "ModelInfer": unary(state, proxies, "ModelInfer", SCOPES, model_infer, predicts=True),
        METHOD: stream(state, proxies, stopping),
    }
    for name, (kind, scopes, describe) in DESCRIBING.items():
        methods[name] = unary(state, proxies, name, scopes, describing.describing(kind, describe))
    for name, (kind, control) in CONTROLLING.items():
        methods[name] = unary(state, proxies, name, ADMIN, acting(kind, control))
    checks = {
        "Check": unary(state, proxies, "Check", (), health.CHECK, service=health.NAME),
        "Watch": health.watch(state, proxies, stopping),
    }
    return (
        grpc.method_handlers_generic_handler(SERVICE, methods),
        grpc.method_handlers_generic_handler(health.NAME, checks),
    )


def options(settings: Settings) -> list[tuple[str, int]]:
    """The limits of the settings, as gRPC names them."""
    return [
        ("grpc.so_reuseport", int(settings.workers != 1)),  # workers share a port, and two services must not
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_metadata_size", settings.max_header_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
        ("grpc.server_handshake_timeout_ms", math.ceil(settings.header_timeout_s * 1000)),
    ]
