"""``POST /v1/models/{model}/predict``: images in, probabilities and recalibration weights out."""

import time
from http import HTTPStatus
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models.preprocessing import Preprocessed
from service import NOTICE
from service.http.admission import admitted, deadline
from service.http.answers import ABSTAINED, PredictionAnswer, Weights, identity, prediction, style_shift
from service.http.examples import ANSWER
from service.http.openapi import SEND
from service.http.problems import ProblemDocument, ProblemError, translated
from service.http.uploads import Upload, received_images
from service.inference.runtime import Model, Outputs
from service.observing.tracing import stage
from service.records.keeping import Input, caller_of, keep
from service.security.guard import subject_of
from service.state import State, state_of

router = APIRouter(tags=[SEND])

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Empty image, malformed form or damaged compression."},
    404: {"description": "Unknown model or version."},
    408: {"description": "The body did not arrive in time."},
    413: {"description": "Too many bytes or pixels."},
    415: {"description": "Not an image of a known format or kind, or an unknown content encoding."},
    422: {"description": "Damaged image, no such frame, out of scope, no report possible, or invalid parameter."},
    503: {"description": "Overload, or the time limit has passed: try again after `Retry-After` seconds."},
}
REPORT = {"application/dicom": {"schema": {"type": "string", "format": "binary"}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": PredictionAnswer, "content": {"application/json": {"example": ANSWER}, **REPORT}},
    **{code: {"model": ProblemDocument, **text} for code, text in PROBLEMS.items()},
}
BODY = {
    "requestBody": {
        "required": True,
        "description": "One image as the body, or one or more images as files of a form. JPEG, PNG, TIFF, BMP, WebP "
        "or DICOM.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/dicom": {"schema": {"type": "string", "format": "binary"}},
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
    """Unknown names and values are errors, so that a typing mistake never changes an answer silently."""

    model_config = ConfigDict(extra="forbid")

    weights: Weights = Field(default="full", description="Recalibration weights: all, a summary per block, or none.")
    activation_map: bool = Field(default=False, description="Add the class activation maps.")
    frame: int | None = Field(
        default=None,
        ge=1,
        le=65536,
        description="Frame of a DICOM file or page of a TIFF file, counted from 1 as in DICOMweb. Without it: a "
        "DICOM file's "
        "middle frame, number (n + 1) // 2 of n, and any other file's first.",
    )
    format: Literal["json", "dicom-sr"] | None = Field(
        default=None,
        description="`dicom-sr` answers a single DICOM file with a structured report that refers to it, as "
        "`Accept: application/dicom` does.",
    )


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
        async with received_images(request, state) as uploads:
            async with deadline(request, state.settings):
                with translated([upload.name for upload in uploads]):
                    files = [upload.data for upload in uploads]
                    predicted = await state.predictor.predict(model, files, query.frame, subject_of(request))
            if query.format == "dicom-sr" or (query.format is None and accepts_dicom(request)):
                return await report(request, state, model, uploads, predicted)
            inputs = [Input(upload.data, image.frame) for upload, (image, _) in zip(uploads, predicted, strict=True)]
            kept = await keep(state, caller_of(request), model, inputs, [row for _, row in predicted])
            start = time.perf_counter()
            content = {
                "id": request.state.request_id,
                "model": identity(model),
                "notice": NOTICE,
                "predictions": [
                    prediction(
                        model.card,
                        image,
                        row,
                        record_id=record_id,
                        file=upload.name,
                        weights=query.weights,
                        activation_map=query.activation_map,
                        abstain=state.settings.style_shift == "abstain",
                    )
                    for upload, record_id, (image, row) in zip(uploads, kept.ids, predicted, strict=True)
                ],
            }
            body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
            state.predictor.of(model).metrics.encoded(time.perf_counter() - start)
            stage("encode", start)
            await kept.committed()
            return Response(body, media_type="application/json")


def accepts_dicom(request: Request) -> bool:
    """Whether the client asks for DICOM by name. A client that accepts anything gets JSON."""
    kinds = (kind.partition(";")[0].strip().lower() for kind in request.headers.get("Accept", "").split(","))
    return "application/dicom" in kinds


async def report(
    request: Request, state: State, model: Model, uploads: list[Upload], predicted: list[tuple[Preprocessed, Outputs]]
) -> Response:
    """Answer one DICOM file with a structured report."""
    if len(uploads) > 1:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no-report",
            f"A structured report is about one file, and {len(uploads)} came: send them one by one, or ask for JSON.",
        )

    shift = style_shift(model.card, predicted[0][1])
    if state.settings.style_shift == "abstain" and shift is not None and shift["verdict"] == "unlike":
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no-report",
            f"{ABSTAINED} So there is no report of it: check that the model is the one for this kind of image.",
        )

    def write() -> bytes:
        # The first import takes half a second, so it happens in this thread and not on the event loop.
        from service.report.document import write_report

        return write_report(uploads[0].data, model, *predicted[0])

    body = await state.predictor.decoders.run(subject_of(request), len(uploads[0].data), write)
    image, outputs = predicted[0]
    kept = await keep(state, caller_of(request), model, [Input(uploads[0].data, image.frame)], [outputs])
    await kept.committed()
    return Response(body, headers=kept.headers(), media_type="application/dicom")
