"""The FastAPI application: load the models, answer, close."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import NOTICE
from service.http import openapi, problems
from service.http.arrivals import Arrivals
from service.http.compression import Compression
from service.http.head import HeadAsGet
from service.http.request_log import RequestLog
from service.http.telemetry import TELEMETRY
from service.inference.lifecycle import Lifecycle
from service.inference.predictor import Predictor
from service.inference.repository import Repository
from service.observing.metrics import Metrics
from service.records.opening import open_records
from service.routes import channels, health, infer, models, page, predict, predictions, preview, protocol, repository
from service.security import headers
from service.security.callers import Access
from service.security.guard import PROBLEMS, needs
from service.security.tls import key_pair
from service.settings import Settings, SettingsError
from service.state import State
from service.storage.mirror import mirror_of
from service.workers.limits import limits_of, settings_of
from service.workers.membership import Membership
from service.workers.seat import Seat

logger = logging.getLogger(__name__)
API_VERSION = "1"
"""Version of the API in /docs, which anybody may read. The version of the software is in ``GET /v2``."""


def create_app(settings: Settings, seat: Seat | None = None, supervisor: socket.socket | None = None) -> FastAPI:
    """Load the models and build the application; its ``state.service`` is a :class:`State`.

    Args:
        seat: The place among the workers of one service. None: this process serves alone.
        supervisor: The socket to the supervisor of the workers, which then agree on the models that all serve.

    Raises:
        OSError: if there is no room for what the workers share.
        ValueError: if the seat is not one of theirs, as :func:`service.workers.limits.limits_of`.
        PackageError: if the repository can't be served as the settings ask, or can't be copied from its store.
        SettingsError: if the settings contradict each other, or would open the service to others without a choice.
        KeyFileError: if the key file can't be used.
        RecordsError: if prediction records can't be kept as the settings ask.
    """
    key_pair(settings)  # a start that can't work is one sentence
    rpc = rpc_of(settings)
    settings, mirror = settings_of(settings, seat), mirror_of(settings)
    access, (limiter, requests) = Access(settings), limits_of(settings, seat)
    served, metrics = Repository([]), Metrics(seat)
    predictor = Predictor(settings, metrics)
    metrics.queue_limit.set(settings.queue_size)
    metrics.in_flight_limit.set(settings.max_requests)
    lifecycle = Lifecycle(served, predictor, metrics, settings, mirror)
    records = open_records(settings, metrics.registry)
    agreed = None if supervisor is None else Membership(lifecycle, supervisor)
    arrivals, control = Arrivals(settings), agreed or lifecycle
    state = State(settings, served, predictor, metrics, control, access, limiter, requests, arrivals, records)
    lifecycle.start()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        logger.info(
            "models from %s, %d CPU threads; %s",
            settings.store or settings.model_repository,
            lifecycle.execution.threads,
            NOTICE,
        )
        polls = settings.repository_poll_seconds and agreed is None  # else the supervisor does
        watcher = asyncio.create_task(lifecycle.watch()) if polls else None
        if records is not None:
            records.recorder.start()
        async with nullcontext() if agreed is None else agreed.joined(), nullcontext() if rpc is None else rpc(state):
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
        version=API_VERSION,
        summary="Retinal image classification with the recalibration weights behind each answer.",
        description=NOTICE,
        lifespan=lifespan,
        redoc_url=None,
        openapi_tags=openapi.TAGS,
        static_url="/docs-static",
        telemetry=TELEMETRY,
    )
    app.state.service = state
    problems.install(app)
    openapi.install(app)
    app.add_middleware(Compression, limit=settings.max_body_bytes)
    app.add_middleware(HeadAsGet)
    headers.install(app, [origin.strip() for origin in settings.cors_origins.split(",") if origin])
    app.add_middleware(RequestLog, state=state)
    for module in (predict, preview, channels, models, protocol, infer):
        app.include_router(module.router, dependencies=[needs("predict")], responses=PROBLEMS)
    app.include_router(predictions.router, dependencies=[needs("predict", "admin")], responses=PROBLEMS)
    app.include_router(repository.router, dependencies=[needs("admin")], responses=PROBLEMS)
    for module in (health, page):
        app.include_router(module.router)
    page.mount_files(app)
    return app


def rpc_of(settings: Settings) -> Callable[[State], AbstractAsyncContextManager[None]] | None:
    """What serves gRPC, if the settings ask for it.

    Raises:
        SettingsError: if its packages are not installed.
    """
    if settings.grpc_port is None:
        return None
    try:
        from service.rpc.server import serving
    except ModuleNotFoundError:
        raise SettingsError("RETINA_GRPC_PORT needs grpcio: pip install 'retina-srm[grpc]'") from None
    return serving
