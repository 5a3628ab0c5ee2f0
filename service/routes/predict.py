"""``POST /v1/models/{model}/predict``: images in, probabilities and recalibration weights out."""

import time
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from service import NOTICE
from service.admission import admitted
from service.answers import PredictionAnswer, Weights, identity, prediction
from service.examples import ANSWER
from service.problems import ProblemDocument
from service.state import state_of
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
    state = state_of(request)
    with admitted(state, name, version) as model:
        uploads = await read_uploads(request, state.settings)
        outputs = await state.predictor.predict(model, uploads)
        start = time.perf_counter()
        content = {
            "id": request.state.request_id,
            "model": identity(model),
            "notice": NOTICE,
            "predictions": [
                prediction(
                    model.card, row, file=upload.name, weights=query.weights, activation_map=query.activation_map
                )
                for upload, row in zip(uploads, outputs, strict=True)
            ],
        }
        body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
        state.predictor.of(model).metrics.encoded(time.perf_counter() - start)
        return Response(body, media_type="application/json")
