"""The model repository extension of Triton: index, load, unload. For callers with the scope admin."""

from typing import Any, TypeVar

from fastapi import APIRouter, Request

from service.http.openapi import RUN
from service.http.uploads import read_message
from service.protocol import control, describing
from service.protocol.messages import ControlRequest, ErrorDocument, IndexEntry, IndexRequest, Message, parse
from service.state import state_of

M = TypeVar("M", bound=Message)

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorDocument, "description": "Invalid message, or unusable package."},
    404: {"model": ErrorDocument, "description": "Unknown model."},
    408: {"model": ErrorDocument, "description": "The body did not arrive in time."},
    413: {"model": ErrorDocument, "description": "Too many bytes, before or after decompression."},
    415: {"model": ErrorDocument, "description": "Unknown content encoding."},
}
router = APIRouter(tags=[RUN], responses=ERRORS)


@router.post("/v2/repository/index")
async def index(request: Request) -> list[IndexEntry]:
    """List every version in the repository, whether it is served, and if not, why."""
    message = await read(IndexRequest, request)
    entries = await describing.index(state_of(request), ready=message.ready)
    return [IndexEntry.model_validate(entry) for entry in entries]


@router.post("/v2/repository/models/{model}/load")
async def load(model: str, request: Request) -> dict[str, Any]:
    """Load the packages of a model as they are now. The old versions are served until the new ones are ready."""
    message = await read(ControlRequest, request)
    await control.load(state_of(request), model, message.parameters)
    return {}


@router.post("/v2/repository/models/{model}/unload")
async def unload(model: str, request: Request) -> dict[str, Any]:
    """Stop serving a model. The answer comes when requests in flight are answered and the memory is free."""
    await read(ControlRequest, request)
    await control.unload(state_of(request), model)
    return {}


async def read(kind: type[M], request: Request) -> M:
    body = await read_message(request, state_of(request))
    return parse(kind, body or b"{}")
