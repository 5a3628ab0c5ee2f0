"""``POST /v1/models/{model}/preview``: a picture of files that a browser can't show, such as DICOM and TIFF."""

import io
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models.card import InputSpec
from models.preprocessing import ImageError, decode, decoding_cost
from service.http.admission import deadline, refusals_counted, reserved
from service.http.openapi import SEND
from service.http.problems import ProblemError
from service.http.uploads import received_image
from service.routes.predict import BODY, PROBLEMS, RESPONSES
from service.security.guard import subject_of
from service.state import state_of

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
    with refusals_counted(state), reserved(state, model, None) as served:
        async with received_image(request, state, "A preview shows one image") as upload:
            caller = subject_of(request)
            draw = partial(to_png, upload.data, served.card.input, state.settings.max_pixels, query.frame)
            async with deadline(request, state.settings):
                try:
                    body = await state.predictor.decoders.run(caller, decoding_cost(upload.data), draw)
                except ImageError as error:
                    raise ProblemError.of_image(error, upload.name) from None
    return Response(body, media_type="image/png", headers={"Cache-Control": "no-store"})


def to_png(data: bytes, spec: InputSpec, max_pixels: int, frame: int | None) -> bytes:
    """Decode an image in the colours of a model, and encode it as PNG no longer than :data:`LONGER_SIDE`."""
    shown = spec.model_copy(update={"height": LONGER_SIDE, "width": LONGER_SIDE, "crop": "none"})
    image = decode(data, shown, max_pixels, frame).image.convert("L" if spec.channels == 1 else "RGB")
    image.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
