"""``POST /v2/models/{model}/infer``: the Open Inference Protocol's prediction."""

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.package import INPUT as IMAGE
from models.package import OUTPUTS, STYLE_OUTPUTS
from service.http.admission import admitted, deadline
from service.http.openapi import PROTOCOL
from service.http.problems import translated
from service.http.uploads import received_body
from service.inference.errors import UnusableImageError
from service.inference.runtime import Model, Outputs
from service.observing.tracing import stage
from service.protocol import invalid
from service.protocol.binary import HEADER
from service.protocol.messages import ErrorDocument, InferResponse
from service.protocol.requests import Inference, read_request
from service.protocol.responses import Answer, write_response
from service.protocol.tensors import IMAGE_BYTES
from service.records.keeping import Input, keep
from service.records.kept import Kept
from service.security.guard import subject_of
from service.state import State, state_of

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
            caller, in_thread = subject_of(request), state.predictor.decoders.run
            async with deadline(request, state.settings) as until:
                inference = await in_thread(caller, len(body), partial(read, body, request, model, state))
                until.shorten(inference.timeout_s)
                with translated():
                    rows = await run(state, model, inference, caller)
            inputs = [Input(image) for image in (inference.files if inference.pixels is None else inference.pixels)]
            kept = await keep(request, model, inputs, rows)
            request_id = request.state.request_id if inference.id is None else inference.id
            start = time.perf_counter()
            encode = partial(write, model, request_id, inference, rows, kept)
            content, headers = await in_thread(caller, 0, encode)
            state.predictor.of(model).metrics.encoded(time.perf_counter() - start)
            stage("encode", start)
            await kept.committed()
            return Response(content, headers=headers)


def read(body: bytes, request: Request, model: Model, state: State) -> Inference:
    settings, headers = state.settings, request.headers
    return read_request(body, headers.get(HEADER), model.card, settings.max_files)


def write(model: Model, request_id: str, inference: Inference, rows: list[Outputs], kept: Kept) -> Answer:
    return write_response(model, request_id, inference.outputs, rows, kept.parameters())


async def run(state: State, model: Model, inference: Inference, caller: str) -> list[Outputs]:
    if inference.pixels is not None:
        return await state.predictor.run(model, list(inference.pixels), caller)
    try:
        images = await state.predictor.decode(model, inference.files, caller=caller)
    except UnusableImageError as error:  # a file is part of the message here, so every fault is 400
        raise invalid(f"input {IMAGE_BYTES}: element {error.index}: {error}") from None
    return await state.predictor.run(model, [image.pixels for image in images], caller)
