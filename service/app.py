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

from service import NOTICE, problems
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.predictor import Predictor
from service.repository import Repository
from service.routes import health, infer, models, page, predict, protocol, repository
from service.security import headers
from service.security.access import Access
from service.security.guard import PROBLEMS, needs
from service.security.rate_limit import RateLimiter
from service.settings import Settings
from service.state import State

logger = logging.getLogger(__name__)
API_VERSION = "1"
"""Of the description at /docs, which anybody may read; the software's own version is in ``GET /v2``."""
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings) -> FastAPI:
    """Load the models and build the application; its ``state.service`` is a :class:`State`.

    Raises:
        PackageError: if the repository can't be served as the settings ask.
        SettingsError: if the settings contradict each other, or would leave the service open to others unasked.
        KeyFileError: if the key file can't be used.
    """
    access, limiter = Access(settings), RateLimiter(settings.rate_limit, settings.rate_burst)
    served, metrics = Repository([]), Metrics()
    predictor = Predictor(settings, metrics)
    lifecycle = Lifecycle(served, predictor, metrics, settings)
    state = State(settings, served, predictor, metrics, lifecycle, access, limiter)
    lifecycle.start()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        logger.info("models from %s, %d CPU threads; %s", settings.model_repository, lifecycle.threads, NOTICE)
        watcher = asyncio.create_task(lifecycle.watch()) if settings.repository_poll_seconds else None
        state.ready = True
        yield
        state.ready = False
        if watcher is not None:
            watcher.cancel()
        predictor.close()

    app = FastAPIOffline(
        title="retina-srm",
        version=API_VERSION,
        summary="Retinal image classification with the recalibration weights behind each answer.",
        description=NOTICE,
        lifespan=lifespan,
        redoc_url=None,
        static_url="/docs-static",
    )
    app.state.service = state
    problems.install(app)
    headers.install(app, [origin.strip() for origin in settings.cors_origins.split(",") if origin])
    app.add_middleware(RequestId)
    for module in (predict, models, protocol, infer):
        app.include_router(module.router, dependencies=[needs("predict")], responses=PROBLEMS)
    app.include_router(repository.router, dependencies=[needs("admin")], responses=PROBLEMS)
    for module in (health, page):
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
