"""Addresses of the Open Inference Protocol that describe: server, models, readiness, configuration, statistics."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.http.admission import find_model
from service.http.openapi import PROTOCOL
from service.protocol.describing import configuration, metadata, statistics
from service.protocol.messages import ErrorDocument, ModelMetadata, ModelReady, ServerMetadata
from service.protocol.metadata import SERVER
from service.state import state_of

router = APIRouter(tags=[PROTOCOL])
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorDocument, "description": "Unknown model or version."}}
READINESS: dict[int | str, dict[str, Any]] = NOT_FOUND | {
    503: {"model": ModelReady, "description": "Not ready to predict."}
}


@router.get("/v2")
async def server() -> ServerMetadata:
    """What the server is, and which extensions it has."""
    return SERVER


@router.get("/v2/models/stats")
async def all_statistics(request: Request) -> dict[str, Any]:
    """Statistics of every model since it was loaded."""
    return statistics(state_of(request))


@router.get("/v2/models/{model}", responses=NOT_FOUND)
async def model(model: str, request: Request) -> ModelMetadata:
    """The tensors of the default version of a model."""
    return metadata(state_of(request), model, None)


@router.get("/v2/models/{model}/versions/{version}", responses=NOT_FOUND)
async def model_version(model: str, version: str, request: Request) -> ModelMetadata:
    """The tensors of one version of a model."""
    return metadata(state_of(request), model, version)


@router.get("/v2/models/{model}/ready", response_model=ModelReady, responses=READINESS)
async def model_ready(model: str, request: Request) -> Response:
    """Whether the default version of a model accepts requests."""
    return readiness(request, model, None)


@router.get("/v2/models/{model}/versions/{version}/ready", response_model=ModelReady, responses=READINESS)
async def version_ready(model: str, version: str, request: Request) -> Response:
    """Whether one version of a model accepts requests."""
    return readiness(request, model, version)


@router.get("/v2/models/{model}/config", responses=NOT_FOUND)
async def config(model: str, request: Request) -> dict[str, Any]:
    """The configuration of a model, in the form of Triton."""
    return configuration(state_of(request), model, None)


@router.get("/v2/models/{model}/versions/{version}/config", responses=NOT_FOUND)
async def version_config(model: str, version: str, request: Request) -> dict[str, Any]:
    """The configuration of one version of a model, in the form of Triton."""
    return configuration(state_of(request), model, version)


@router.get("/v2/models/{model}/stats", responses=NOT_FOUND)
async def model_statistics(model: str, request: Request) -> dict[str, Any]:
    """Statistics of each version of a model since it was loaded."""
    return statistics(state_of(request), model)


@router.get("/v2/models/{model}/versions/{version}/stats", responses=NOT_FOUND)
async def version_statistics(model: str, version: str, request: Request) -> dict[str, Any]:
    """Statistics of one version of a model since it was loaded."""
    return statistics(state_of(request), model, version)


def readiness(request: Request, name: str, version: str | None) -> Response:
    state = state_of(request)
    find_model(state, name, version)
    status = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(ModelReady(name=name, ready=state.ready).model_dump(), status)
