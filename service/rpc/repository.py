"""The methods of the model repository: index, load, unload. For callers with the scope admin."""

from typing import Any

from google.protobuf.message import Message

from service.protocol import describing
from service.protocol.control import load, unload
from service.rpc.proto import grpc_service_pb2 as pb
from service.state import State


async def index(state: State, message: Any) -> Message:
    """List every version in the repository, whether it is served, and if not, why."""
    response = pb.RepositoryIndexResponse()
    for entry in await describing.index(state, ready=message.ready):
        response.models.add(**entry)
    return response


async def load_model(state: State, message: Any) -> Message:
    """Load the packages of a model as they are now."""
    await load(state, message.model_name, message.parameters)
    return pb.RepositoryModelLoadResponse()


async def unload_model(state: State, message: Any) -> Message:
    """Stop serving a model."""
    await unload(state, message.model_name)
    return pb.RepositoryModelUnloadResponse()
