"""Addresses of the Open Inference Protocol that describe: server, models, readiness, configuration, statistics."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.http.admission import find_model
from service.http.openapi import PROTOCOL
from service.inference.runtime import Model
from service.protocol.messages import ErrorDocument, ModelMetadata, ModelReady, ServerMetadata
from service.protocol.metadata import SERVER, model_config, model_metadata
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
    return statistics(request, list(state_of(request).repository))


@router.get("/v2/models/{model}", responses=NOT_FOUND)
async def model(model: str, request: Request) -> ModelMetadata:
    """The tensors of the default version of a model."""
    return metadata(request, model, None)


@router.get("/v2/models/{model}/versions/{version}", responses=NOT_FOUND)
async def model_version(model: str, version: str, request: Request) -> ModelMetadata:
    """The tensors of one version of a model."""
    return metadata(request, model, version)


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
    return configuration(request, model, None)


@router.get("/v2/models/{model}/versions/{version}/config", responses=NOT_FOUND)
async def version_config(model: str, version: str, request: Request) -> dict[str, Any]:
    """The configuration of one version of a model, in the form of Triton."""
    return configuration(request, model, version)


@router.get("/v2/models/{model}/stats", responses=NOT_FOUND)
async def model_statistics(model: str, request: Request) -> dict[str, Any]:
    """Statistics of each version of a model since it was loaded."""
    state = state_of(request)
    find_model(state, model, None)
    return statistics(request, list(state.repository.models[model].values()))


@router.get("/v2/models/{model}/versions/{version}/stats", responses=NOT_FOUND)
async def version_statistics(model: str, version: str, request: Request) -> dict[str, Any]:
    """Statistics of one version of a model since it was loaded."""
    return statistics(request, [find_model(state_of(request), model, version)])


def metadata(request: Request, name: str, version: str | None) -> ModelMetadata:
    state = state_of(request)
    found = find_model(state, name, version)
    return model_metadata(found, [version] if version else list(state.repository.models[name]))


def readiness(request: Request, name: str, version: str | None) -> Response:
    state = state_of(request)
    find_model(state, name, version)
    status = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(ModelReady(name=name, ready=state.ready).model_dump(), status)


def configuration(request: Request, name: str, version: str | None) -> dict[str, Any]:
    state = state_of(request)
    settings = state.settings
    found = find_model(state, name, version)
    return model_config(found, served_versions=settings.served_versions, max_images=settings.max_files)


def statistics(request: Request, models: list[Model]) -> dict[str, Any]:
    predictor = state_of(request).predictor
    return {"model_stats": [predictor.of(m).metrics.statistics.document(m.name, m.version) for m in models]}
