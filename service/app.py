"""The FastAPI application: load the models, answer, close."""

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import NOTICE, __version__, problems
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.predictor import Predictor
from service.records.opening import open_records
from service.repository import Repository
from service.routes import health, infer, models, page, predict, predictions, protocol, repository
from service.settings import Settings
from service.state import State

logger = logging.getLogger(__name__)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings) -> FastAPI:
    """Load the models and build the application; its ``state.service`` is a :class:`State`.

    Raises:
        PackageError: if the repository can't be served as the settings ask.
        RecordsError: if prediction records can't be kept as the settings ask.
    """
    served, metrics = Repository([]), Metrics()
    predictor = Predictor(settings, metrics)
    lifecycle = Lifecycle(served, predictor, metrics, settings)
    records = open_records(settings, metrics.registry)
    state = State(settings, served, predictor, metrics, lifecycle, records)
    lifecycle.start()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        logger.info("models from %s, %d CPU threads; %s", settings.model_repository, lifecycle.threads, NOTICE)
        watcher = asyncio.create_task(lifecycle.watch()) if settings.repository_poll_seconds else None
        if records is not None:
            records.recorder.start()
        state.ready = True
        yield
        state.ready = False
        if watcher is not None:
            watcher.cancel()
        if records is not None:
            await asyncio.to_thread(records.recorder.close)
        predictor.close()

    app = FastAPIOffline(
        title="retina-srm",
        version=__version__,
        summary="Retinal image classification with the recalibration weights behind each answer.",
        description=NOTICE,
        lifespan=lifespan,
        redoc_url=None,
        static_url="/docs-static",
    )
    app.state.service = state
    problems.install(app)
    app.add_middleware(RequestId)
    for module in (predict, predictions, models, protocol, infer, repository, health, page):
        app.include_router(module.router)
    page.mount_files(app)
    return app


class RequestId:
    """Give each request an id, the client's own if it sent a proper one, and send it back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        await self.app(scope, receive, send_with_id)
