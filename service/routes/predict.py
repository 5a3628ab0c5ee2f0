"""``POST /v1/models/{model}/predict``: images in, probabilities and recalibration weights out."""

import time
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from service import NOTICE
from service.answers import PredictionAnswer, Weights, identity, prediction
from service.examples import ANSWER
from service.problems import ProblemDocument, ProblemError
from service.runtime import Model
from service.state import State, find_model, state_of
from service.uploads import read_uploads

router = APIRouter(tags=["predict"])

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Empty image or malformed form."},
    404: {"description": "Unknown model or version."},
    408: {"description": "The body did not arrive in time."},
    413: {"description": "Too many bytes or pixels."},
    415: {"description": "Not an image of a known format."},
    422: {"description": "Damaged image or invalid parameter."},
    503: {"description": "Too much to do: try again after `Retry-After` seconds."},
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": PredictionAnswer, "content": {"application/json": {"example": ANSWER}}},
    **{code: {"model": ProblemDocument, **text} for code, text in PROBLEMS.items()},
}
BODY = {
    "requestBody": {
        "required": True,
        "description": "One image as the body, or one or more as files of a form. JPEG, PNG, TIFF, BMP or WebP.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                    "required": ["file"],
                }
            },
        },
    }
}


class PredictQuery(BaseModel):
    """Unknown names and values are errors, so that a typo never changes an answer silently."""

    model_config = ConfigDict(extra="forbid")

    weights: Weights = Field(default="full", description="Recalibration weights: all, a summary a block, or none.")
    activation_map: bool = Field(default=False, description="Add the class activation maps.")


@router.post("/v1/models/{model}/predict", response_class=Response, responses=RESPONSES, openapi_extra=BODY)
async def predict(model: str, query: Annotated[PredictQuery, Query()], request: Request) -> Response:
    """Classify images with the default version of a model."""
    return await answer(model, None, query, request)


@router.post(
    "/v1/models/{model}/versions/{version}/predict", response_class=Response, responses=RESPONSES, openapi_extra=BODY
)
async def predict_version(
    model: str, version: str, query: Annotated[PredictQuery, Query()], request: Request
) -> Response:
    """Classify images with one version of a model."""
    return await answer(model, version, query, request)


async def answer(name: str, version: str | None, query: PredictQuery, request: Request) -> Response:
    """Count and time a request from its admission to its answer."""
    state = state_of(request)
    metrics, start = state.metrics, time.perf_counter()
    label, outcome = "unknown", "error"
    try:
        model = find_model(state, name, version)
        label = model.name
        response = await admitted(state, model, query, request)
        outcome = "ok"
        return response
    except ProblemError as problem:
        outcome = "rejected" if problem.status == 503 else "client_error"
        if outcome == "rejected":
            metrics.rejected.labels(problem.code).inc()
        raise
    finally:
        metrics.requests.labels(label, outcome).inc()
        metrics.request_seconds.labels(label).observe(time.perf_counter() - start)


async def admitted(state: State, model: Model, query: PredictQuery, request: Request) -> Response:
    """Refuse at once what would be too much, before any of the body is read."""
    if state.requests >= state.settings.max_requests:
        raise ProblemError.overload("too-many-requests", f"{state.requests} requests are in hand, which is the limit")
    state.requests += 1
    state.metrics.in_flight.set(state.requests)
    try:
        uploads = await read_uploads(request, state.settings)
        outputs = await state.predictor.predict(model, uploads)
    finally:
        state.requests -= 1
        state.metrics.in_flight.set(state.requests)
    start = time.perf_counter()
    content = {
        "id": request.state.request_id,
        "model": identity(model),
        "notice": NOTICE,
        "predictions": [
            prediction(model.card, row, file=upload.name, weights=query.weights, activation_map=query.activation_map)
            for upload, row in zip(uploads, outputs, strict=True)
        ],
    }
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    state.predictor.model_metrics[id(model)].encode_seconds.observe(time.perf_counter() - start)
    return Response(body, media_type="application/json")
