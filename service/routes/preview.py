"""``POST /v1/models/{model}/preview``: a picture of files that a browser can't show, such as DICOM and TIFF."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models.card import InputSpec
from models.preprocessing import ImageError, decode, decoding_cost
from service.http.admission import deadline, find_model
from service.http.openapi import SEND
from service.http.problems import ProblemError
from service.http.uploads import received_images
from service.inference.runtime import Model
from service.observing.logs import note
from service.routes.predict import BODY, PROBLEMS, RESPONSES
from service.security.guard import subject_of
from service.state import State, state_of

router = APIRouter(tags=[SEND])

LONGER_SIDE = 1024
PNG = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}


class PreviewQuery(BaseModel):
    """As for a prediction."""

    model_config = ConfigDict(extra="forbid")

    frame: int | None = Field(default=None, ge=1, le=65536, description="As for a prediction.")


@router.post(
    "/v1/models/{model}/preview",
    response_class=Response,
    responses={200: PNG, **{code: RESPONSES[code] for code in PROBLEMS}},
    openapi_extra=BODY,
)
async def preview(model: str, query: Annotated[PreviewQuery, Query()], request: Request) -> Response:
    """Return one image as PNG, decoded by the preprocessing of the model, not cropped, and at most 1024 pixels long."""
    state = state_of(request)
    with reserved(state, model) as served:
        async with received_images(request, state) as uploads:
            if len(uploads) > 1:
                raise ProblemError(
                    HTTPStatus.BAD_REQUEST, "too-many-files", "A preview shows one image: send one file."
                )
            caller = subject_of(request)
            draw = partial(to_png, uploads[0].data, served.card.input, state.settings.max_pixels, query.frame)
            async with deadline(request, state.settings):
                try:
                    body = await state.predictor.decoders.run(caller, decoding_cost(uploads[0].data), draw)
                except ImageError as error:
                    raise ProblemError.of_image(error, uploads[0].name) from None
    return Response(body, media_type="image/png", headers={"Cache-Control": "no-store"})


@contextmanager
def reserved(state: State, name: str, version: str | None = None) -> Iterator[Model]:
    """Keep the model, and count a refusal. The model's statistics count predictions alone."""
    model = find_model(state, name, version)
    note(model=model.name, version=model.version)
    try:
        with state.predictor.using(model):
            yield model
    except ProblemError as problem:
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            state.metrics.rejected.labels(problem.code).inc()
        raise


def to_png(data: bytes, spec: InputSpec, max_pixels: int, frame: int | None) -> bytes:
    """Decode an image in the colours of a model, and encode it as PNG no longer than :data:`LONGER_SIDE`."""
    shown = spec.model_copy(update={"height": LONGER_SIDE, "width": LONGER_SIDE, "crop": "none"})
    image = decode(data, shown, max_pixels, frame).image.convert("L" if spec.channels == 1 else "RGB")
    image.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
