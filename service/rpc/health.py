"""The health protocol of gRPC (grpc.health.v1), which probes of orchestrators and load balancers speak. For anybody."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2 as pb

from service.http.problems import ProblemError
from service.rpc.calls import SERVICE, Call, parse
from service.rpc.describing import describing
from service.security.proxy import Proxies
from service.state import State

NAME = "grpc.health.v1.Health"
LOOK_EVERY_S = 0.2
KNOWN = ("", SERVICE, NAME)
"""The service as a whole, and what it offers. They are ready together."""


def status(state: State, name: str) -> Any:
    """Return the status of a service, which is unknown if there is none of this name."""
    if name not in KNOWN:
        return pb.HealthCheckResponse.SERVICE_UNKNOWN
    return pb.HealthCheckResponse.SERVING if state.ready else pb.HealthCheckResponse.NOT_SERVING


def check(state: State, message: Any) -> Message:
    """Answer ``Check``.

    Raises:
        ProblemError: 404 for an unknown service.
    """
    found = status(state, message.service)
    if found == pb.HealthCheckResponse.SERVICE_UNKNOWN:
        raise ProblemError(HTTPStatus.NOT_FOUND, "unknown-service", f"There is no service {message.service[:64]!r}.")
    return pb.HealthCheckResponse(status=found)


CHECK = describing(pb.HealthCheckRequest, check)


def watch(state: State, proxies: Proxies, stopping: asyncio.Event) -> Any:
    """Make the handler of ``Watch``, which tells the status now and whenever it changes."""

    async def tell(call: Call, messages: AsyncIterator[bytes]) -> None:
        with state.arrivals.body(call.origin.subject) as body:
            name = parse(pb.HealthCheckRequest, await call.receive(messages, body)).service
        told = None
        while True:
            if (found := status(state, name)) != told:
                await call.context.write(pb.HealthCheckResponse(status=found).SerializeToString())
                told = found
            if stopping.is_set():
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def handle(messages: AsyncIterator[bytes], context: Any) -> None:
        call = Call(state, proxies, context, "Watch", service=NAME)
        await call.answered(tell(call, messages))

    return grpc.stream_stream_rpc_method_handler(handle)
