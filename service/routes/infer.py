"""``POST /v2/models/{model}/infer``: the Open Inference Protocol's prediction."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.package import INPUT as IMAGE
from models.package import OUTPUTS, STYLE_OUTPUTS
from service.http.admission import admitted, deadline
from service.http.openapi import PROTOCOL
from service.http.uploads import received_body
from service.inference.runtime import Model
from service.protocol.answering import Origin, Result, answered
from service.protocol.binary import HEADER
from service.protocol.messages import ErrorDocument, InferResponse
from service.protocol.requests import read_request
from service.protocol.responses import Answer, write_response
from service.protocol.tensors import IMAGE_BYTES
from service.records.keeping import caller_of
from service.security.guard import subject_of
from service.state import state_of

router = APIRouter(tags=[PROTOCOL])

ERRORS: dict[int, str] = {
    400: "Invalid message. The text names the field.",
    404: "Unknown model or version.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, before or after decompression.",
    415: "Unknown content encoding.",
    503: "Overload, or the timeout of the request has passed.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": InferResponse, "content": {"application/octet-stream": {}}},
    **{code: {"model": ErrorDocument, "description": text} for code, text in ERRORS.items()},
}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"enum": [IMAGE, IMAGE_BYTES]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        "datatype": {"enum": ["UINT8", "BYTES"]},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
}
OUTPUT = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"enum": [*OUTPUTS, *STYLE_OUTPUTS]}, "parameters": {"type": "object"}},
}
SCHEMA = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": TENSOR, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": OUTPUT},
    },
}
EXAMPLE = {
    "inputs": [{"name": IMAGE_BYTES, "shape": [1, 1], "datatype": "BYTES", "data": ["<base64 of a JPEG file>"]}],
    "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}],
}
BODY = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "schema": {"type": "integer", "minimum": 0},
            "description": "Length of the JSON in bytes, if binary tensors follow it. 0 if the body is one image file.",
        }
    ],
    "requestBody": {
        "required": True,
        "description": "One of the inputs `image` (UINT8) and `image_bytes` (BYTES; base64 in JSON).",
        "content": {
            "application/json": {"schema": SCHEMA, "example": EXAMPLE},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
}


@router.post("/v2/models/{model}/infer", response_class=Response, responses=RESPONSES, openapi_extra=BODY)
async def infer(model: str, request: Request) -> Response:
    """Predict with the default version of a model."""
    return await answer(model, None, request)


@router.post(
    "/v2/models/{model}/versions/{version}/infer", response_class=Response, responses=RESPONSES, openapi_extra=BODY
)
async def infer_version(model: str, version: str, request: Request) -> Response:
    """Predict with one version of a model."""
    return await answer(model, version, request)


async def answer(name: str, version: str | None, request: Request) -> Response:
    state = state_of(request)
    with admitted(state, name, version) as model:
        async with received_body(request, state) as body:
            origin = Origin(request.state.request_id, caller_of(request), subject_of(request))
            limit = deadline(request, state.settings)
            read = partial(read_request, body, request.headers.get(HEADER), model.card, limit=state.settings.max_files)
            content, headers = await answered(state, model, origin, len(body), limit, read, partial(write, model))
            return Response(content, headers=headers)


def write(model: Model, result: Result) -> Answer:
    return write_response(model, result.request_id, result.inference.outputs, result.rows, result.kept.parameters())
