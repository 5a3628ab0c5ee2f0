"""The way in for every prediction request: find the model, refuse what would be too much, give up what is too late."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.http.problems import ProblemError, translated
from service.inference.runtime import Model
from service.observing.logs import note
from service.settings import Settings
from service.state import State

EXPECTED = "X-Envoy-Expected-Rq-Timeout-Ms"
WATCH_AFTER_S = 0.01
"""A request answered by then pays nothing for the look-out for its client."""


@contextmanager
def admitted(state: State, name: str, version: str | None) -> Iterator[Model]:
    """Hold a place and the model for one request, from before its body is read until its answer is written.

    Raises:
        ProblemError: 404 for an unknown model, 503 if as many requests as allowed are in hand.
    """
    start = time.perf_counter()
    model = find_model(state, name, version)
    note(model=model.name, version=model.version)
    try:
        with place(state), state.predictor.using(model):
            statistics, ok = state.predictor.of(model).metrics.statistics, False
            try:
                yield model
                ok = True
            finally:
                (statistics.success if ok else statistics.fail).add(time.perf_counter() - start)
    except ProblemError as problem:
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            state.metrics.rejected.labels(problem.code).inc()
        raise


def find_model(state: State, name: str, version: str | None) -> Model:
    """Return a served model, or answer 404 with the names that there are."""
    with translated():
        return state.repository.get(name, version)


@contextmanager
def place(state: State) -> Iterator[None]:
    if state.requests >= state.settings.max_requests:
        raise ProblemError.overload("too-many-requests", f"{state.requests} requests are in hand, which is the limit")
    state.requests += 1
    state.metrics.in_flight.set(state.requests)
    try:
        yield
    finally:
        state.requests -= 1
        state.metrics.in_flight.set(state.requests)


class Deadline:
    """When a request's answer is of no use any more."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float) -> None:
        self.timeout = timeout
        self.start = asyncio.get_running_loop().time()
        self.seconds = seconds
        self.client_gone = False
        self.watcher: asyncio.Task[None] | None = None

    def shorten(self, seconds: float | None) -> None:
        """Allow no more than ``seconds`` since the start."""
        if seconds is not None and seconds < self.seconds:
            self.seconds = seconds
            self.timeout.reschedule(self.start + seconds)

    def watch(self, request: Request) -> None:
        self.watcher = asyncio.get_running_loop().create_task(self.pass_with(request))

    async def pass_with(self, request: Request) -> None:
        """Let the deadline pass as soon as the client goes."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        if not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time())


@asynccontextmanager
async def deadline(request: Request, settings: Settings) -> AsyncGenerator[Deadline]:
    """Give up what is done within, once the body is read, when its time has passed or its client has gone.

    Images that wait for a thread or for the model are dropped then; what runs already is finished for nobody.

    Raises:
        ProblemError: 503 if the time has passed, 400 for a header that can't be used.
        ClientDisconnect: if the client has gone.
    """
    seconds = settings.request_timeout_s
    found = None
    try:
        async with asyncio.timeout(seconds) as timeout:
            found = Deadline(timeout, seconds)
            found.shorten(expected(request))
            timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, found.watch, request)
            try:
                yield found
            finally:
                timer.cancel()
                if found.watcher is not None:
                    found.watcher.cancel()
    except TimeoutError:
        if found is None or not timeout.expired():  # some other one
            raise
        if found.client_gone:
            raise ClientDisconnect from None
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "timeout",
            f"The request was not answered within its timeout of {found.seconds:g} s.",
        ) from None


def expected(request: Request) -> float | None:
    """Return the seconds after which the proxy in front, Envoy or what follows it, will not wait any longer."""
    sent = request.headers.get(EXPECTED)
    if sent is None:
        return None
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 10):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "timeout-header", f"{EXPECTED} must be a number of milliseconds.")
    return int(sent) / 1000 or None
