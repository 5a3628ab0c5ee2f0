"""``GET /v1/models`` and the card of each model."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.card import Card
from service.http.admission import find_model
from service.http.answers import GrpcPlace, ModelEntry, ModelList
from service.http.openapi import SEND
from service.http.problems import ProblemDocument
from service.http.root_path import root_of
from service.inference.runtime import Model
from service.state import state_of

router = APIRouter(tags=[SEND])
DEMO = Path(__file__).parent.parent / "page" / "demo"
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDocument, "description": "Unknown model or version."}
}


@router.get("/v1/models")
async def list_models(request: Request) -> ModelList:
    """List the models that are served."""
    state, root = state_of(request), root_of(request.scope)
    repository, settings = state.repository, state.settings
    port = settings.grpc_port or None  # 0: any free one
    return ModelList(
        models=[entry(repository.get(name), list(versions), root) for name, versions in repository.models.items()],
        grpc=port and GrpcPlace(port=port, tls=settings.tls_certificate is not None),
    )


@router.get("/v1/models/{model}/card", responses=NOT_FOUND)
async def card(model: str, request: Request) -> Response:
    """The card of the default version of a model: data, measured results, calibration, limits."""
    return card_response(find_model(state_of(request), model, None).card)


@router.get("/v1/models/{model}/versions/{version}/card", responses=NOT_FOUND)
async def version_card(model: str, version: str, request: Request) -> Response:
    """The card of one version of a model."""
    return card_response(find_model(state_of(request), model, version).card)


def card_response(card: Card) -> Response:
    return Response(card.model_dump_json(), media_type="application/json")


def entry(model: Model, versions: list[str], root: str) -> ModelEntry:
    card = model.card
    demo = next((path.name for path in DEMO.glob(f"{model.name}.*")), None)
    return ModelEntry(
        name=model.name,
        version=model.version,
        versions=versions,
        digest=model.digest,
        description=card.description,
        task=card.task,
        labels=card.labels,
        input=card.input,
        provider=model.provider,
        nodes=model.nodes,
        precision=card.precision,
        card=f"{root}/v1/models/{model.name}/versions/{model.version}/card",
        demo=f"{root}/static/demo/{demo}" if demo else None,
    )
