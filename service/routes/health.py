"""Liveness, readiness and metrics, for those who run the service."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from service.http.openapi import RUN
from service.security.guard import PROBLEMS, needs
from service.state import state_of

router = APIRouter(tags=[RUN])


class Live(BaseModel):
    """The process answers."""

    live: bool


class Ready(BaseModel):
    """Every model is loaded and has run once."""

    ready: bool


@router.get("/v2/health/live")
async def live() -> Live:
    """Whether the process answers."""
    return Live(live=True)


@router.get("/v2/health/ready", responses={503: {"model": Ready, "description": "Not ready to predict."}})
async def ready(request: Request, response: Response) -> Ready:
    """Whether the service accepts predictions. 503 while it starts and shuts down."""
    is_ready = state_of(request).ready
    response.status_code = 200 if is_ready else 503
    return Ready(ready=is_ready)


@router.get(
    "/metrics",
    response_class=Response,
    dependencies=[needs("metrics")],
    responses={200: {"content": {"text/plain": {}}}, **PROBLEMS},
)
async def metrics(request: Request) -> Response:
    """Read the metrics as Prometheus text: requests, queues, times of each stage, styles of images, models.

    With several workers they are of all of them. The page `/status` shows them to people.
    """
    return Response(state_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)
