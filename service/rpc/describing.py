"""The methods that describe: server, models, readiness, configuration, statistics."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from service.http.admission import find_model
from service.http.problems import ProblemError
from service.protocol import describing as protocol
from service.protocol.metadata import SERVER
from service.rpc.calls import Act, Call, parse
from service.rpc.proto import grpc_service_pb2 as pb
from service.state import State

Describe = Callable[[State, Any], Message]


def describing(kind: Any, describe: Describe) -> Act:
    """Answer a message of this kind with what ``describe`` tells of the service."""

    async def tell(state: State, message: Any) -> Message:
        return describe(state, message)

    return acting(kind, tell)


def acting(kind: Any, do: Callable[[State, Any], Awaitable[Message]]) -> Act:
    """Answer a message of this kind with what ``do`` returns."""

    async def act(call: Call, messages: AsyncIterator[bytes]) -> bytes:
        with call.state.arrivals.body(call.origin.subject) as body:
            message = parse(kind, await call.receive(messages, body))
        return (await do(call.state, message)).SerializeToString()  # type: ignore[no-any-return]

    return act


def server_live(state: State, message: Any) -> Message:
    """Whether the process answers."""
    return pb.ServerLiveResponse(live=True)


def server_ready(state: State, message: Any) -> Message:
    """Whether the service accepts predictions."""
    return pb.ServerReadyResponse(ready=state.ready)


def model_ready(state: State, message: Any) -> Message:
    """Whether a model accepts requests. As in Triton an unknown one does not."""
    try:
        find_model(state, message.name, message.version or None)
    except ProblemError:
        return pb.ModelReadyResponse(ready=False)
    return pb.ModelReadyResponse(ready=state.ready)


def server_metadata(state: State, message: Any) -> Message:
    """What the server is, and which extensions it has."""
    return ParseDict(SERVER.model_dump(), pb.ServerMetadataResponse())


def metadata(state: State, message: Any) -> Message:
    """The tensors of a model."""
    found = protocol.metadata(state, message.name, message.version or None)
    return ParseDict(found.model_dump(), pb.ModelMetadataResponse())


def config(state: State, message: Any) -> Message:
    """The configuration of a model."""
    found = protocol.configuration(state, message.name, message.version or None)
    return ParseDict({"config": found}, pb.ModelConfigResponse())


def statistics(state: State, message: Any) -> Message:
    """The statistics of one version, of all versions of a model, or of everything that is served."""
    found = protocol.statistics(state, message.name or None, message.version or None)
    return ParseDict(found, pb.ModelStatisticsResponse())
