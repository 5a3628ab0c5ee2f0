"""``POST /v1/models/{model}/channels/{block}/{channel}``: what one channel does in one image."""

from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Path, Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from service import NOTICE
from service.http.admission import deadline, refusals_counted, reserved
from service.http.answers import ModelIdentity, identity
from service.http.openapi import SEND
from service.http.problems import ProblemDocument, translated
from service.http.uploads import received_image
from service.inference.channels import Channel
from service.inference.runtime import Model
from service.routes.predict import BODY, RESPONSES
from service.security.guard import subject_of
from service.state import state_of

router = APIRouter(tags=[SEND])
LEAST = 1e-7
"""Probabilities nearer than this to 0 or 1 have no reliable log-odds in float32."""


class ChannelQuery(BaseModel):
    """As for a prediction, and the value to set the gate to."""

    model_config = ConfigDict(extra="forbid")

    frame: int | None = Field(default=None, ge=1, le=65536, description="As for a prediction.")
    gate: float | None = Field(
        default=None, ge=0, le=1, description="Value to set the gate to. Without it: its mean over the training images."
    )


class LabelChange(BaseModel):
    """A class's probability, as answered and with the gate set."""

    label: str
    probability: float
    probability_if_set: float
    log_odds_change: float = Field(
        description="By how much the log-odds, the calibrated logit, changes when the gate is set. Natural logarithm."
    )


class ChannelAnswer(BaseModel):
    """What one channel does in one image."""

    id: str
    model: ModelIdentity
    notice: str
    block: str
    channel: int
    gate: float = Field(description="What the network computed for this image.")
    gate_if_set: float
    labels: list[LabelChange]
    height: int
    width: int
    map: list[list[float]] = Field(
        description="The channel's features times its gate, as the block adds them to its input, at each position of "
        "what the model sees. May be negative. Channels and images have no common unit."
    )


CODES = (400, 404, 408, 413, 415, 422, 503)
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": ChannelAnswer, "content": {"application/json": {}}},
    409: {"model": ProblemDocument, "description": "The package's graph does not allow this."},
    **{code: RESPONSES[code] for code in CODES},
    404: {"model": ProblemDocument, "description": "Unknown model, version, block or channel."},
}
Number = Annotated[int, Path(ge=0, description="Counted from 0.")]
BlockName = Annotated[str, Path(description="As `recalibration_weights` names it, such as `layer1.0`.")]


@router.post(
    "/v1/models/{model}/channels/{block}/{channel}",
    response_class=Response,
    responses=ANSWERS,
    openapi_extra=BODY,
)
async def channel(
    model: str, block: BlockName, channel: Number, query: Annotated[ChannelQuery, Query()], request: Request
) -> Response:
    """Return a channel's map, and the probabilities with its gate at the usual value, by a model's default version."""
    return await answer(model, None, block, channel, query, request)


@router.post(
    "/v1/models/{model}/versions/{version}/channels/{block}/{channel}",
    response_class=Response,
    responses=ANSWERS,
    openapi_extra=BODY,
)
async def channel_of_version(
    model: str,
    version: str,
    block: BlockName,
    channel: Number,
    query: Annotated[ChannelQuery, Query()],
    request: Request,
) -> Response:
    """Return a channel's map, and the probabilities with its gate at the usual value, by one version of a model."""
    return await answer(model, version, block, channel, query, request)


async def answer(
    name: str, version: str | None, block: str, channel: int, query: ChannelQuery, request: Request
) -> Response:
    state, caller = state_of(request), subject_of(request)
    with refusals_counted(state), reserved(state, name, version) as model:
        async with (
            received_image(request, state, "A channel is of one image") as upload,
            deadline(request, state.settings),
        ):
            with translated([upload.name]):
                found = await state.predictor.look(
                    model,
                    upload.data,
                    query.frame,
                    block=block,
                    channel=channel,
                    gate=query.gate,
                    caller=caller,
                )
    content = {
        "id": request.state.request_id,
        "model": identity(model),
        "notice": NOTICE,
        "block": block,
        "channel": channel,
        **looked_at(model, found),
    }
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def looked_at(model: Model, found: Channel) -> dict[str, Any]:
    """Write what was found, as :class:`ChannelAnswer` has it."""
    height, width = found.map.shape
    changes = log_odds(found.after) - log_odds(found.before)
    columns = zip(model.card.labels, found.before.tolist(), found.after.tolist(), changes.tolist(), strict=True)
    return {
        "gate": found.gate,
        "gate_if_set": found.gate_if_set,
        "labels": [
            {"label": label, "probability": before, "probability_if_set": after, "log_odds_change": change}
            for label, before, after, change in columns
        ],
        "height": height,
        "width": width,
        "map": np.ascontiguousarray(found.map),
    }


def log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log-odds of probabilities (K,)."""
    inside = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))
